"""The position cookie (G4): carries how far a user has seen each shard from request to request.

It exists only where the directory has replicas. A forged or damaged one counts as none: it can
make nobody read older data than the user's next write, and is replaced by the next answer.
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

    async def open(self, directory: Directory) -> None:
        """Begin, if the directory has replicas."""
        if any(shard.replicas for shard in directory.database.shards):
            secret = await asyncio.to_thread(read_secret, directory.secret_file)
            self._signer = Signer(secret, "position cookie")
            self._secure = directory.web.secure

    async def close(self) -> None:
        """Forget the secret."""
        self._signer = None

    def arrive(self, scope: dict[str, Any]) -> Carried | None:
        """Set what the user of this request has seen; None where there is no replica."""
        if self._signer is None:
            return None
        came = requests.cookie(scope, NAME)
        seen = Seen()
        if came is not None:
            try:
                text = self._signer.verify(came.decode("latin-1")).decode("latin-1")
                seen = position.parse(text)
            except SignatureError as error:
                log.info("position cookie refused", because=error.because)
        return Carried(self, seen)

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

    def __init__(self, cookie: PositionCookie, seen: Seen) -> None:
        self._cookie = cookie
        self._seen = seen
        self._before = seen.text()
        self._token: Token[Seen | None] = position.current.set(seen)

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Answer the cookie's header when the user has seen more than before."""
        text = self._seen.text()
        return [] if text == self._before else [self._cookie.header(text)]

    def leave(self) -> None:
        """Forget the positions of this request."""
        position.current.reset(self._token)
