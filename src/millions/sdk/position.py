"""How far a user has seen each shard: places in its log, as text for a cookie.

A place is a timeline and a byte of the write-ahead log in one number, so that what a former primary
wrote and nobody took over is not taken for the present one's. A server that has not come this far
is not asked. It neither signs nor sends; the cookie is the web part's, and positions are only
captured where the directory has replicas.
"""

from __future__ import annotations

import re
from contextvars import ContextVar
from dataclasses import dataclass, field

from millions.errors import SignatureError

SHARDS_MAX = 64
"""More shards than a directory can have buckets for; a longer text is not ours."""

ENTRY = re.compile(r"([A-Za-z0-9_-]{1,63})=([0-9a-z]{1,19}|!)")
BASE = 36
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
BYTES = 64
"""Bits of a place that count bytes; the timeline stands above them."""

BYTE_MAX = (1 << BYTES) - 1
POSITION_MAX = (1 << (BYTES + 32)) - 1

UNSURE = "!"
"""In place of a position: only the primary is certain to show what this user has seen."""


@dataclass(slots=True)
class Seen:
    """The furthest position seen of each shard; it only ever grows.

    `unsure` names the shards of which this is not known, until the primary says it.
    """

    positions: dict[str, int] = field(default_factory=dict[str, int])
    unsure: set[str] = field(default_factory=set[str])
    doubts: int = 0
    """How often something became unsure."""

    wrote: bool = False
    """Whether the user may have written since these positions arrived."""

    def advance(self, shard: str, position: int) -> None:
        """Note that `position` of `shard` was seen."""
        if position > self.positions.get(shard, 0):
            self.positions[shard] = position

    def settle(self, shard: str, position: int, *, doubts: int) -> None:
        """Note what the primary says; certain again, unless a doubt came up after `doubts`."""
        self.advance(shard, position)
        if self.doubts == doubts:
            self.unsure.discard(shard)

    def doubt(self, shard: str) -> None:
        """Note that more of `shard` may have been seen than is known."""
        self.unsure.add(shard)
        self.doubts += 1

    def merge(self, other: Seen) -> None:
        """Note everything that `other` has seen."""
        for shard, position in other.positions.items():
            self.advance(shard, position)
        for shard in other.unsure:
            self.doubt(shard)

    def text(self) -> str:
        """Answer the cookie's content: `s0=1z141z3.s1=!`, the same for equal positions."""
        entries = {shard: _digits(each) for shard, each in self.positions.items()}
        entries |= dict.fromkeys(self.unsure, UNSURE)
        return ".".join(f"{shard}={entries[shard]}" for shard in sorted(entries))


def parse(text: str) -> Seen:
    """Read what `Seen.text` wrote. Raise SignatureError when it is not that."""
    seen = Seen()
    entries = text.split(".", SHARDS_MAX) if text else []
    for entry in entries:
        found = ENTRY.fullmatch(entry)
        if found is not None and found[2] == UNSURE:
            seen.unsure.add(found[1])
            continue
        position = int(found[2], BASE) if found else POSITION_MAX + 1
        if found is None or len(entries) > SHARDS_MAX or position > POSITION_MAX:
            raise SignatureError(
                cannot="read the position cookie",
                because=f"{entry[:80]!r} is no position",
                try_="the same without the cookie: the answer sets a new one",
            )
        seen.advance(found[1], position)
    return seen


def position_of(lsn: str, timeline: int = 0) -> int:
    """Read PostgreSQL's form of a position, `16/B374D848`, on a timeline."""
    high, _, low = lsn.partition("/")
    return (timeline << BYTES) | (int(high, 16) << 32) | int(low, 16)


def covers(reached: int, wanted: int) -> bool:
    """Whether a server that has come as far as `reached` shows all that `wanted` stands for.

    A later timeline alone does not say so: a standby may follow it and not have come to its start.
    """
    return reached >> BYTES >= wanted >> BYTES and reached & BYTE_MAX >= wanted & BYTE_MAX


current: ContextVar[Seen | None] = ContextVar("millions_position", default=None)
"""What the user of the request under way has seen; the web part sets it, `db` advances it."""

filling: ContextVar[bool] = ContextVar("millions_filling", default=False)
"""Whether a loader of the cache runs: the primary says what everybody will be shown."""


def saw(other: Seen) -> None:
    """Note for the user of this request what `other` has seen: a cached value shows it to them."""
    seen = current.get()
    if seen is not None:
        seen.merge(other)


def copy_of(seen: Seen) -> Seen:
    """Answer one that does not change with `seen`."""
    return Seen(dict(seen.positions), set(seen.unsure))


def _digits(number: int) -> str:
    text = ""
    while number:
        number, digit = divmod(number, BASE)
        text = DIGITS[digit] + text
    return text or "0"
