"""What goes in and out of a request with an idempotency key: hashed going in, held going out.

It never holds more than `KEPT_BYTES_MAX` of an answer, and nothing of a request.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING, Any

from millions.sdk.idempotency_rows import KEPT_BYTES_MAX

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from millions.sdk.answers import Headers

    Keep = Callable[[int, Headers, bytes | None], Awaitable[None]]

DRAIN_WITHIN_S = 15.0
"""How long the rest of a body that the application did not read may take to arrive."""

INTERNAL_ERROR = b"Internal Server Error"


class Counted:
    """The body of a request; `digest` is known once all of it was received."""

    def __init__(self, receive: Callable[[], Awaitable[Any]]) -> None:
        self._receive = receive
        self._digest = hashlib.sha256()
        self.digest: bytes | None = None

    async def receive(self) -> Any:
        """Pass on what the server received."""
        message = await self._receive()
        if self.digest is None and message["type"] == "http.request":
            self._digest.update(message.get("body", b""))
            if not message.get("more_body", False):
                self.digest = self._digest.digest()
        return message

    async def drain(self) -> None:
        """Read the rest of the body, for its digest; give up when the client does."""
        try:
            async with asyncio.timeout(DRAIN_WITHIN_S):
                while self.digest is None:
                    message = await self.receive()
                    if message["type"] != "http.request":
                        return
        except TimeoutError:
            return


class Capture:
    """Holds an answer back until it is whole and kept, or too large to be kept."""

    def __init__(self, send: Any, keep: Keep, dropped: Callable[[], bool]) -> None:
        self._send = send
        self._keep = keep
        self._dropped = dropped
        self._held: list[Any] = []
        self._size = 0
        self._passing = False

    async def send(self, message: Any) -> None:
        """Take one message of the application's answer."""
        if self._dropped():
            return
        if self._passing:
            await self._send(message)
            return
        self._held.append(message)
        if message["type"] != "http.response.body":
            return
        self._size += len(message.get("body", b""))
        if self._size > KEPT_BYTES_MAX or not message.get("more_body", False):
            await self._release()

    async def failed(self) -> None:
        """Keep what the client will be told of an application that raised: a plain 500."""
        if self._passing or self._held:
            return
        kind = (b"content-type", b"text/plain; charset=utf-8")
        await self._keep(500, [kind], INTERNAL_ERROR)

    async def _release(self) -> None:
        held, self._held, self._passing = self._held, [], True
        start = next(each for each in held if each["type"] == "http.response.start")
        too_large = self._size > KEPT_BYTES_MAX
        bodies = (each.get("body", b"") for each in held if each["type"] == "http.response.body")
        body = None if too_large else b"".join(bodies)
        await self._keep(start["status"], list(start.get("headers", [])), body)
        for message in held:
            await self._send(message)
