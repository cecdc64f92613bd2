"""The position cookie (G4): carries how far a user has seen each shard from request to request.

It exists only where the directory has replicas, which may come and go. Who says who they are and
brings none, or brings a forged or damaged one, may have written before: the primary answers them
until it has said how far they see. An answer that shared caches may keep carries no cookie.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from millions.errors import SignatureError
from millions.sdk import position, requests
from millions.sdk.log import log
from millions.sdk.position import Seen
from millions.sdk.signing import Signer, read_secret

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextvars import Token

    from millions.directory import Directory

NAME = b"millions_position"

KEPT_S = 86_400
"""A replica that is a day behind is not in the directory any more."""


class PositionCookie:
    """Reads the cookie of each request and writes it when the user has seen more."""

    def __init__(self) -> None:
        self._signer: Signer | None = None
        self._secure = False
        self._shards: tuple[str, ...] = ()

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
        came = requests.cookie(scope, NAME)
        if came is None:
            proven = requests.header(scope, b"authorization") is not None
            return Carried(self, self._unsure() if proven else Seen(), came="")
        try:
            text = self._signer.verify(came.decode("latin-1")).decode("latin-1")
            return Carried(self, position.parse(text), came=text)
        except SignatureError as error:
            log.info("position cookie refused", because=error.because)
            return Carried(self, self._unsure(), came="")

    def _unsure(self) -> Seen:
        return Seen(unsure=set(self._shards))

    def header(self, text: str) -> tuple[bytes, bytes]:
        """Answer the Set-Cookie header for positions as `Seen.text` writes them."""
        assert self._signer is not None  # noqa: S101  # `arrive` made sure
        value = self._signer.sign(text.encode(), KEPT_S)
        secure = "; Secure" if self._secure else ""
        cookie = f"{NAME.decode()}={value}; Path=/; Max-Age={KEPT_S}; HttpOnly; SameSite=Lax"
        return b"set-cookie", (cookie + secure).encode("ascii")


class Carried:
    """What one request's user has seen, before it and now."""

    __slots__ = ("_before", "_cookie", "_seen", "_token")

    def __init__(self, cookie: PositionCookie, seen: Seen, *, came: str) -> None:
        self._cookie = cookie
        self._seen = seen
        self._before = came
        self._token: Token[Seen | None] = position.current.set(seen)

    def headers(self, sent: Sequence[tuple[bytes, bytes]] = ()) -> list[tuple[bytes, bytes]]:
        """Answer the cookie's header when the user has seen more than before.

        `sent` are the answer's own headers.
        """
        text = self._seen.text()
        if text == self._before or any(_is_shared(each) for each in sent):
            return []
        return [self._cookie.header(text)]

    def leave(self) -> None:
        """Forget the positions of this request."""
        position.current.reset(self._token)


def _is_shared(header: tuple[bytes, bytes]) -> bool:
    """Whether a header lets caches show the answer to others."""
    name, value = header
    return name.lower() == b"cache-control" and (b"public" in value or b"s-maxage" in value)
