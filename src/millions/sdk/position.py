"""How far a user has seen each shard: log positions, as text for a cookie.

A replica that has not replayed this far is not asked. It neither signs nor sends; the cookie is
the web part's, and positions are only captured where the directory has replicas.
"""

from __future__ import annotations

import re
from contextvars import ContextVar
from dataclasses import dataclass, field

from millions.errors import SignatureError

SHARDS_MAX = 64
"""More shards than a directory can have buckets for; a longer text is not ours."""

ENTRY = re.compile(r"([A-Za-z0-9_-]{1,63})=([0-9a-z]{1,13})")
BASE = 36
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
POSITION_MAX = (1 << 64) - 1


@dataclass(slots=True)
class Seen:
    """The furthest position seen of each shard; it only ever grows."""

    positions: dict[str, int] = field(default_factory=dict[str, int])

    def advance(self, shard: str, position: int) -> None:
        """Note that `position` (a byte of the write-ahead log) of `shard` was seen."""
        if position > self.positions.get(shard, 0):
            self.positions[shard] = position

    def merge(self, other: Seen) -> None:
        """Note everything that `other` has seen."""
        for shard, position in other.positions.items():
            self.advance(shard, position)

    def text(self) -> str:
        """Answer the cookie's content: `s0=1z141z3.s1=…`, the same for equal positions."""
        return ".".join(f"{s}={_digits(p)}" for s, p in sorted(self.positions.items()))


def parse(text: str) -> Seen:
    """Read what `Seen.text` wrote. Raise SignatureError when it is not that."""
    seen = Seen()
    entries = text.split(".", SHARDS_MAX) if text else []
    for entry in entries:
        found = ENTRY.fullmatch(entry)
        position = int(found[2], BASE) if found else POSITION_MAX + 1
        if found is None or len(entries) > SHARDS_MAX or position > POSITION_MAX:
            raise SignatureError(
                cannot="read the position cookie", because=f"{entry[:80]!r} is no position"
            )
        seen.advance(found[1], position)
    return seen


def position_of(lsn: str) -> int:
    """Read PostgreSQL's form of a position, `16/B374D848`."""
    high, _, low = lsn.partition("/")
    return (int(high, 16) << 32) | int(low, 16)


current: ContextVar[Seen | None] = ContextVar("millions_position", default=None)
"""What the user of the request under way has seen; the web part sets it, `db` advances it."""


def _digits(number: int) -> str:
    text = ""
    while number:
        number, digit = divmod(number, BASE)
        text = DIGITS[digit] + text
    return text or "0"
