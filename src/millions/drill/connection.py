"""One HTTP/1.1 connection of a client: a request at a time, each answer read to its end.

It repeats nothing and hides nothing: what broke is raised, and whether the request had been sent
is known. A protocol on the bare transport, so that the load costs less than what it measures.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

ANSWER_WITHIN_S = 30.0
"""A request that is not answered after this long has failed."""

NO_BODY = frozenset({204, 304})


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer, read to its end. Names of headers are in small letters."""

    status: int
    headers: dict[str, str]
    body: bytes
    cookies: tuple[str, ...] = ()


class NotSentError(ConnectionError):
    """The connection was gone before the request was sent: nothing can have happened."""


class Connection:
    """A connection to `host`:`port`; it connects when first asked, and again after a close."""

    def __init__(self, host: str, port: int) -> None:
        self._place = (host, port)
        self._wire: _Wire | None = None
        self.asked = 0
        self.made = 0
        self._sent_at_s = 0.0

    @property
    def is_open(self) -> bool:
        """Whether the next request goes over a connection that was kept open."""
        return self._wire is not None and not self._wire.gone

    @property
    def lost(self) -> bool:
        """Whether a connection that was kept open was closed by the other side since."""
        return self._wire is not None and self._wire.gone

    @property
    def since_s(self) -> float:
        """How long ago a request was sent over a connection that was kept open; 0 without one."""
        return time.monotonic() - self._sent_at_s if self._wire is not None else 0.0

    @property
    def received(self) -> bytes:
        """What has arrived of an answer that is not whole yet."""
        return self._wire.data if self._wire is not None else b""

    async def ask(self, request: bytes, *, within_s: float = ANSWER_WITHIN_S) -> Answer:
        """Send the bytes of one request and read its answer to the end, within `within_s`.

        Raise NotSentError when it was not sent, OSError, EOFError or TimeoutError when its answer
        did not come; the connection is closed then.
        """
        try:
            async with asyncio.timeout(within_s):
                if not self.is_open:
                    await self._connect()
                assert self._wire is not None  # noqa: S101  # connected above
                self._sent_at_s = time.monotonic()
                answer = await self._wire.ask(request)
        except BaseException:
            self.abort()
            raise
        self.asked += 1
        if answer.headers.get("connection", "").lower() == "close":
            self.abort()
        return answer

    async def close(self) -> None:
        """Close, and wait until it is closed."""
        wire, self._wire = self._wire, None
        if wire is not None:
            await wire.close()

    def abort(self) -> None:
        """Drop the connection at once."""
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.abort()

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            _, self._wire = await loop.create_connection(_Wire, *self._place)
        except OSError as error:
            raise NotSentError(str(error)) from error
        self.made += 1


class _Wire(asyncio.Protocol):
    """The transport's side: joins what arrives into answers."""

    def __init__(self) -> None:
        self.gone = False
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[Answer] | None = None
        self._closed = asyncio.get_running_loop().create_future()
        self.data = b""
        self._head_only = False

    def ask(self, request: bytes) -> asyncio.Future[Answer]:
        """Send a request; the future holds its answer, or what broke."""
        if self.gone or self._transport is None or self._transport.is_closing():
            raise NotSentError("closed before the request was sent")
        self._answer = asyncio.get_running_loop().create_future()
        self._head_only = request.startswith(b"HEAD ")
        self._transport.write(request)
        return self._answer

    async def close(self) -> None:
        """Close, and wait until it is closed."""
        if self._transport is not None:
            self._transport.close()
            await self._closed

    def abort(self) -> None:
        """Drop it at once."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        if isinstance(transport, asyncio.Transport):
            self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Take in a part of an answer."""
        self.data += data
        if self._answer is None or self._answer.done():
            return
        try:
            answer = _parsed(self.data, head_only=self._head_only)
        except ValueError as error:
            self._answer.set_exception(error)
            return
        if answer is not None:
            self.data = b""
            self._answer.set_result(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the request that is under way, if one is."""
        self.gone = True
        if not self._closed.done():
            self._closed.set_result(None)
        if self._answer is None or self._answer.done():
            return
        if isinstance(exc, OSError):
            self._answer.set_exception(exc)
        elif self.data:
            self._answer.set_exception(EOFError("closed in the middle of an answer"))
        else:
            self._answer.set_exception(EOFError("closed without an answer"))


def _parsed(data: bytes, *, head_only: bool) -> Answer | None:
    """The answer in `data`; None while it is not whole. Raise ValueError when it is none."""
    head, found, rest = data.partition(b"\r\n\r\n")
    if not found:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    pairs = [(name.lower(), value.strip()) for name, _, value in (x.partition(":") for x in lines)]
    headers = dict(pairs)
    status = int(first.split(" ", 2)[1])
    body: bytes | None
    if head_only or status in NO_BODY:
        body = b""
    elif headers.get("transfer-encoding", "").lower() == "chunked":
        body = _joined(rest)
    else:
        length = int(headers.get("content-length", "0"))
        body = rest[:length] if len(rest) >= length else None
    if body is None:
        return None
    cookies = tuple(value for name, value in pairs if name == "set-cookie")
    return Answer(status=status, headers=headers, body=body, cookies=cookies)


def _joined(rest: bytes) -> bytes | None:
    """The body of chunks; None while the last one is missing."""
    parts: list[bytes] = []
    while True:
        line, found, rest = rest.partition(b"\r\n")
        if not found:
            return None
        size = int(line.partition(b";")[0], 16)
        if len(rest) < size + 2:
            return None
        if not size:
            return b"".join(parts)
        parts.append(rest[:size])
        rest = rest[size + 2 :]


async def ask(host: str, port: int, request: bytes) -> Answer:
    """Ask once on a connection of its own."""
    connection = Connection(host, port)
    try:
        return await connection.ask(request)
    finally:
        await connection.close()
