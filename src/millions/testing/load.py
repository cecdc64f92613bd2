"""Load for tests: keep-alive clients that count every answer and every broken connection.

It repeats nothing and forgives nothing: a request that was sent and not answered with the expected
status is a failure, also when it was sent on a connection that the server had kept open.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

ANSWER_WITHIN_S = 30.0
"""A request not answered after this long has failed."""

KEPT_FAILURES = 20
"""How many failures keep their words; all are counted."""

Make = Callable[[int], bytes]
"""Answers the bytes of request number n."""


def get(path: str = "/", *, host: str = "load", headers: str = "") -> Make:
    """Make the same GET each time; `headers` are whole lines ending in CRLF."""
    request = f"GET {path} HTTP/1.1\r\nhost: {host}\r\n{headers}\r\n".encode()
    return lambda _number: request


@dataclass(slots=True, kw_only=True)
class Report:
    """What became of the requests. `failures` holds the first few in words."""

    sent: int = 0
    answered: Counter[int] = field(default_factory=Counter[int])
    failed: int = 0
    failures: list[str] = field(default_factory=list[str])
    connections: int = 0
    slowest_s: float = 0.0

    def note_failure(self, what: str) -> None:
        """Count one failure."""
        self.failed += 1
        if len(self.failures) < KEPT_FAILURES:
            self.failures.append(f"request {self.sent}: {what}")


@dataclass(slots=True, kw_only=True)
class Answer:
    """One answer, read to its end."""

    status: int
    headers: dict[str, str]
    body: bytes


class Load:
    """Keeps `clients` busy with requests to `host`:`port` while its block runs.

    Of the clients, `fresh` make a new connection for each request. `pause_s` is what each waits
    between requests. Reading `report` is possible at any time.
    """

    def __init__(
        self,
        host: str,
        port: int,
        make: Make | None = None,
        *,
        clients: int = 16,
        fresh: int = 4,
        pause_s: float = 0.0,
        expect: tuple[int, ...] = (200,),
    ) -> None:
        self.report = Report()
        self._place = (host, port)
        self._make = make or get()
        self._clients = clients
        self._fresh = fresh
        self._pause_s = pause_s
        self._expect = expect
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [
            asyncio.create_task(self._client(keep=number >= self._fresh))
            for number in range(self._clients)
        ]
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._stopping = True
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=ANSWER_WITHIN_S + 5)
            for task in late:
                task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _client(self, *, keep: bool) -> None:
        connection: Connection | None = None
        while not self._stopping:
            if connection is None:
                self.report.connections += 1
                connection = Connection(*self._place)
            if not await self._request(connection) or not keep:
                await connection.close()
                connection = None
            if self._pause_s:
                await asyncio.sleep(self._pause_s)
        if connection is not None:
            await connection.close()

    async def _request(self, connection: Connection) -> bool:
        """Ask once, count what came of it; answer whether the connection may be used again."""
        self.report.sent += 1
        began_s = time.monotonic()
        try:
            answer = await connection.ask(self._make(self.report.sent))
        except (OSError, EOFError, ValueError, TimeoutError) as error:
            what = f"{type(error).__name__}: {error}"
            self.report.note_failure(f"{what}, after {connection.asked} answers on this connection")
            return False
        self.report.slowest_s = max(self.report.slowest_s, time.monotonic() - began_s)
        self.report.answered[answer.status] += 1
        if answer.status not in self._expect:
            self.report.note_failure(f"{answer.status}: {answer.body[:80]!r}")
        return answer.headers.get("connection") != "close"


class Connection:
    """One HTTP/1.1 connection to a server under test; it connects when first asked."""

    def __init__(self, host: str, port: int) -> None:
        self._place = (host, port)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.asked = 0

    async def ask(self, request: bytes) -> Answer:
        """Send the bytes of one request and read its answer to the end, within ANSWER_WITHIN_S."""
        async with asyncio.timeout(ANSWER_WITHIN_S):
            if self._streams is None:
                self._streams = await asyncio.open_connection(*self._place)
            reader, writer = self._streams
            writer.write(request)
            await writer.drain()
            answer = await _answer(reader, head_only=request.startswith(b"HEAD "))
        self.asked += 1
        return answer

    async def close(self) -> None:
        """Close, and wait until it is closed."""
        streams, self._streams = self._streams, None
        if streams is not None:
            streams[1].close()
            with contextlib.suppress(OSError):
                await streams[1].wait_closed()


async def _answer(reader: asyncio.StreamReader, *, head_only: bool) -> Answer:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip("\r\n").split("\r\n")
    headers = {
        name.lower(): value.strip() for name, _, value in (each.partition(":") for each in lines)
    }
    status = int(first.split(" ", 2)[1])
    body = b""
    if head_only or status in {204, 304}:
        pass
    elif headers.get("transfer-encoding") == "chunked":
        body = await _chunks(reader)
    else:
        body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Answer(status=status, headers=headers, body=body)


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    parts: list[bytes] = []
    while True:
        size = int(await reader.readuntil(b"\r\n"), 16)
        parts.append((await reader.readexactly(size + 2))[:-2])
        if not size:
            return b"".join(parts)


async def ask(host: str, port: int, request: bytes) -> Answer:
    """Ask once on a connection of its own."""
    connection = Connection(host, port)
    try:
        return await connection.ask(request)
    finally:
        await connection.close()
