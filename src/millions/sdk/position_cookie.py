"""The position cookie (G4): carries how far a user has seen each shard from request to request.

A browser asks for several things at once, and the last answer's cookie holds, whatever it knew. So
an answer to who wrote has a cookie of its own, which no other answer sets: only a later one to who
wrote, which knew it. All that come with a request count together.

It exists only where the directory has replicas, which may come and go. Who says who they are and
brings none, or brings a forged or damaged one, may have written before: the primary answers them
until it has said how far they see. An answer that shared caches may keep carries no cookie.
"""

from __future__ import annotations

import asyncio
import random
import re
from typing import TYPE_CHECKING, Any

from millions.errors import SignatureError
from millions.sdk import position, requests
from millions.sdk.log import log
from millions.sdk.position import Seen
from millions.sdk.signing import Signer, read_secret

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from contextvars import Token

    from millions.directory import Directory

NAME = b"millions_position"
WROTE = NAME + b"_wrote"
"""With a number of two digits: one of the cookies of who wrote."""

WROTE_MAX = 16
"""So many answers of one process to the same user can be on their way at once: no browser asks for
more of it."""

OURS = re.compile(NAME + rb"(_wrote[0-9]{2})?")

KEPT_S = 86_400
"""A replica that is a day behind is not in the directory any more."""

WROTE_KEPT_S = 600
"""No replica that is asked is that far behind (`topology.LAG_MAX_S`), and a doubt ends with it."""


class PositionCookie:
    """Reads the cookie of each request and writes it when the user has seen more."""

    def __init__(self) -> None:
        self._signer: Signer | None = None
        self._secure = False
        self._shards: tuple[str, ...] = ()
        self._turn = random.randrange(WROTE_MAX)  # noqa: S311  # processes begin elsewhere

    async def open(self, directory: Directory) -> None:
        """Begin, if the directory has replicas."""
        secret = await asyncio.to_thread(read_secret, directory.secret_file)
        self._signer = Signer(secret, "position cookie")
        self._secure = directory.web.secure
        self.follow(directory)

    def follow(self, directory: Directory) -> None:
        """Begin or stop, as the directory has replicas now."""
        shards = directory.database.shards
        self._shards = tuple(shard.name for shard in shards if shard.replicas)

    async def close(self) -> None:
        """Forget the secret."""
        self._signer = None
        self._shards = ()

    def arrive(self, scope: dict[str, Any]) -> Carried | None:
        """Set what the user of this request has seen; None where there is no replica."""
        if not self._shards or self._signer is None:
            return None
        named = requests.cookies(scope, NAME)
        came = {name: each for name, each in named.items() if OURS.fullmatch(name)}
        if not came:
            proven = requests.header(scope, b"authorization") is not None
            return Carried(self, self._unsure() if proven else Seen())
        wrote = tuple(name for name in came if name != NAME)
        seen = Seen()
        try:
            for each in came.values():
                text = self._signer.verify(each.decode("latin-1")).decode("latin-1")
                seen.merge(position.parse(text))
        except SignatureError as error:
            log.info("position cookie refused", because=error.because)
            return Carried(self, self._unsure(), wrote=wrote)
        return Carried(self, seen, came=seen.text(), wrote=wrote)

    def _unsure(self) -> Seen:
        return Seen(unsure=set(self._shards))

    def header(self, text: str) -> tuple[bytes, bytes]:
        """Answer the Set-Cookie header for positions as `Seen.text` writes them."""
        return self._header(NAME, text, KEPT_S)

    def of_who_wrote(self, text: str, came: Collection[bytes]) -> list[tuple[bytes, bytes]]:
        """Answer the headers for who wrote, in the place of the cookies that `came`."""
        self._turn = (self._turn + 1) % WROTE_MAX
        name = b"%b%02d" % (WROTE, self._turn)
        return [
            self._header(name, text, WROTE_KEPT_S),
            *((b"set-cookie", each + b"=; Path=/; Max-Age=0") for each in came if each != name),
        ]

    def _header(self, name: bytes, text: str, kept_s: int) -> tuple[bytes, bytes]:
        assert self._signer is not None  # noqa: S101  # `arrive` made sure
        value = self._signer.sign(text.encode(), kept_s)
        secure = "; Secure" if self._secure else ""
        cookie = f"{name.decode()}={value}; Path=/; Max-Age={kept_s}; HttpOnly; SameSite=Lax"
        return b"set-cookie", (cookie + secure).encode("ascii")


class Carried:
    """What one request's user has seen, before it and now."""

    __slots__ = ("_before", "_cookie", "_seen", "_token", "_wrote")

    def __init__(
        self, cookie: PositionCookie, seen: Seen, *, came: str = "", wrote: Collection[bytes] = ()
    ) -> None:
        self._cookie = cookie
        self._seen = seen
        self._before = came
        self._wrote = wrote
        self._token: Token[Seen | None] = position.current.set(seen)

    def headers(self, sent: Sequence[tuple[bytes, bytes]] = ()) -> list[tuple[bytes, bytes]]:
        """Answer the cookies' headers when the user has seen more than before.

        `sent` are the answer's own headers.
        """
        text = self._seen.text()
        if text == self._before or any(_is_shared(each) for each in sent):
            return []
        if self._seen.wrote:
            return self._cookie.of_who_wrote(text, self._wrote)
        return [self._cookie.header(text)]

    def leave(self) -> None:
        """Forget the positions of this request."""
        position.current.reset(self._token)


def _is_shared(header: tuple[bytes, bytes]) -> bool:
    """Whether a header lets caches show the answer to others."""
    name, value = header
    return name.lower() == b"cache-control" and (b"public" in value or b"s-maxage" in value)
