"""Load: clients that send HTTP requests without pause and count everything that goes wrong.

It repeats nothing and hides nothing: every answer that is not 2xx and every connection that broke
while an answer was due is a failure of its own kind. Raw asyncio, so that the load costs less than
what it measures.

Source: the client of the balancer's measurements (`notes/edge.md`).
"""

from __future__ import annotations

import asyncio
import time
from array import array
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

    from millions.model import Address

Mode = Literal["keep-alive", "new", "both"]

TIMEOUT_S = 10.0
"""An answer that takes longer is a failure, whatever comes later."""

PAUSE_AFTER_FAILURE_S = 0.005
"""So that a server that refuses is asked 200 times a second by each client, not a million times."""

EXAMPLES_MAX = 5
"""Failures that are kept in words, for people."""


@dataclass(slots=True, kw_only=True)
class Tally:
    """What came of the load. Latencies in seconds; `longest_gap_s` without any good answer."""

    good: int = 0
    failures: Counter[str] = field(default_factory=Counter[str])
    examples: list[str] = field(default_factory=list[str])
    latencies_s: array[float] = field(default_factory=lambda: array("d"))
    connections: int = 0
    longest_gap_s: float = 0.0
    elapsed_s: float = 0.0

    @property
    def failed(self) -> int:
        """Failures of every kind together."""
        return sum(self.failures.values())

    def latency_s(self, share: float) -> float:
        """The latency that this share of the good answers kept to: 0.5, 0.99, 1.0 for the worst."""
        ordered = sorted(self.latencies_s)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0

    def __str__(self) -> str:
        rate = self.good / self.elapsed_s if self.elapsed_s else 0.0
        kinds = ", ".join(f"{count} {kind}" for kind, count in self.failures.most_common())
        return (
            f"{self.good} good ({rate:.0f}/s), {self.failed} failed"
            f"{f' ({kinds})' if kinds else ''}, latency ms p50 {self.latency_s(0.5) * 1e3:.1f}"
            f" p99 {self.latency_s(0.99) * 1e3:.1f} max {self.latency_s(1.0) * 1e3:.1f},"
            f" longest gap {self.longest_gap_s * 1e3:.0f} ms, {self.connections} connections"
        )


class Load:
    """Clients at work from `start` to `stop`.

    `clients` send one request after the other, to `address`; in mode "both" every second one opens
    a new connection for each. `request` makes the bytes of the n-th request; `rate_per_s` bounds
    all clients together, 0 means without pause.
    """

    def __init__(
        self,
        address: Address,
        *,
        clients: int = 16,
        mode: Mode = "keep-alive",
        path: str = "/",
        request: Callable[[int], bytes] | None = None,
        rate_per_s: float = 0.0,
    ) -> None:
        self._address = address
        self._modes = [
            mode == "new" or (mode == "both" and each % 2 == 1) for each in range(clients)
        ]
        self._path = path
        self._request = request
        self._pause_s = clients / rate_per_s if rate_per_s else 0.0
        self._number = 0
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []
        self._began_s = self._last_good_s = 0.0
        self.tally = Tally()

    async def start(self) -> None:
        """Begin; returns at once."""
        self._began_s = self._last_good_s = time.perf_counter()
        self._tasks = [asyncio.create_task(self._client(each)) for each in self._modes]

    async def stop(self) -> Tally:
        """Let each client take its last answer, and say what came of it all (bounded)."""
        self._stopping = True
        await asyncio.gather(*self._tasks)
        now_s = time.perf_counter()
        self._note_gap(now_s)
        self.tally.elapsed_s = now_s - self._began_s
        return self.tally

    async def _client(self, renew: bool) -> None:  # noqa: FBT001  # one of two modes
        connection: _Connection | None = None
        while not self._stopping:
            began_s = time.perf_counter()
            try:
                # not wait_for, which may swallow a cancellation and would then go on for ever
                async with asyncio.timeout(TIMEOUT_S):
                    if connection is None:
                        connection = await self._connect()
                    status = await connection.ask(self._bytes(renew))
            except (OSError, TimeoutError) as error:
                self._fail(_kind(error), error)
                _close(connection)
                connection = None
                await asyncio.sleep(PAUSE_AFTER_FAILURE_S)
                continue
            now_s = time.perf_counter()
            if 200 <= status < 300:  # noqa: PLR2004  # what HTTP calls a success
                self._note_good(began_s, now_s)
            else:
                self._fail(f"status {status}", None)
            if renew or connection.last:
                connection.close()
                connection = None
            if self._pause_s:
                await asyncio.sleep(max(0.0, began_s + self._pause_s - now_s))
        _close(connection)

    async def _connect(self) -> _Connection:
        loop = asyncio.get_running_loop()
        host, port = self._address.host, self._address.port
        _, connection = await loop.create_connection(_Connection, host, port)
        self.tally.connections += 1
        return connection

    def _bytes(self, renew: bool) -> bytes:  # noqa: FBT001  # one of two modes
        self._number += 1
        if self._request is not None:
            return self._request(self._number)
        close = "Connection: close\r\n" if renew else ""
        return f"GET {self._path} HTTP/1.1\r\nHost: {self._address}\r\n{close}\r\n".encode()

    def _note_good(self, began_s: float, now_s: float) -> None:
        self.tally.good += 1
        self.tally.latencies_s.append(now_s - began_s)
        self._note_gap(now_s)
        self._last_good_s = now_s

    def _note_gap(self, now_s: float) -> None:
        self.tally.longest_gap_s = max(self.tally.longest_gap_s, now_s - self._last_good_s)

    def _fail(self, kind: str, error: Exception | None) -> None:
        self.tally.failures[kind] += 1
        if len(self.tally.examples) < EXAMPLES_MAX:
            at_s = time.perf_counter() - self._began_s
            self.tally.examples.append(f"after {at_s:.3f} s: {kind} {error or ''}".strip())


class _Connection(asyncio.Protocol):
    """One connection: a request at a time, answered with its status once the body is whole."""

    def __init__(self) -> None:
        self.last = False
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[int] | None = None
        self._data = b""

    def ask(self, request: bytes) -> asyncio.Future[int]:
        """Send a request; the future holds the status, or what broke."""
        self._answer = asyncio.get_running_loop().create_future()
        if self._transport is None or self._transport.is_closing():
            self._break(ConnectionResetError("closed before the request was sent"))
        else:
            self._transport.write(request)
        return self._answer

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.abort() if self._answer is not None else self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        if isinstance(transport, asyncio.Transport):
            self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Take in a part of an answer."""
        self._data += data
        head, found, body = self._data.partition(b"\r\n\r\n")
        if not found:
            return
        lines = head.lower().split(b"\r\n")
        status = int(lines[0].split()[1])
        headers = dict(line.split(b":", 1) for line in lines[1:] if b":" in line)
        self.last = headers.get(b"connection", b"").strip() == b"close"
        if b"content-length" in headers:
            whole = len(body) >= int(headers[b"content-length"])
        elif headers.get(b"transfer-encoding", b"").strip() == b"chunked":
            whole = body.endswith(b"0\r\n\r\n")
        else:
            whole = status in (204, 304)
        if whole and self._answer is not None and not self._answer.done():
            self._data = b""
            answer, self._answer = self._answer, None
            answer.set_result(status)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the request that is under way, if one is."""
        said = "closed in the middle of an answer" if self._data else "closed without an answer"
        self._break(exc if isinstance(exc, OSError) else ConnectionAbortedError(said))

    def _break(self, error: OSError) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)


def _close(connection: _Connection | None) -> None:
    if connection is not None:
        connection.close()


def _kind(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, ConnectionAbortedError):
        return str(error)
    return type(error).__name__
