"""Load: clients that send HTTP requests and count everything that goes wrong.

It repeats nothing and hides nothing: every answer that is not the expected one, every connection
that broke while an answer was due, and every kept one that was closed without a word is a failure
of its own kind. For drills, for our tests and for yours.

Source: the client of the balancer's measurements (`notes/edge.md`).
"""

from __future__ import annotations

import asyncio
import time
from array import array
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Self

from millions.drill.connection import ANSWER_WITHIN_S, Connection

if TYPE_CHECKING:
    from collections.abc import Callable

    from millions.drill.connection import Answer
    from millions.model import Address

    Make = Callable[[int], bytes]

Mode = Literal["keep-alive", "new", "both"]

KEPT_S = 1.0
"""A connection over which nothing was sent for so long is not used again: the other side may
close idle ones, and does so unseen while this process is held up."""

PAUSE_AFTER_FAILURE_S = 0.005
"""So that a server that refuses is asked 200 times a second by each client, not a million times."""

EXAMPLES_MAX = 20
"""Failures that are kept in words, for people."""

BODY_SHOWN = 80


def get(path: str = "/", *, host: str = "load", headers: str = "") -> Make:
    """Make the same GET each time; `headers` are whole lines ending in CRLF."""
    request = f"GET {path} HTTP/1.1\r\nhost: {host}\r\n{headers}\r\n".encode()
    return lambda _number: request


@dataclass(slots=True, kw_only=True)
class Tally:
    """What came of the load. Latencies in seconds; `longest_gap_s` without any good answer.

    `answered` counts by status, `failures` by kind; `examples` holds the first few in words.
    """

    sent: int = 0
    good: int = 0
    answered: Counter[int] = field(default_factory=Counter[int])
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
    """Clients at work, from `start` to `stop` or for one `async with` block.

    `clients` send one request after the other to `address`, over kept connections or a new one for
    each; in mode "both" every second client opens new ones. `request` makes the bytes of the n-th
    request, or `path` is asked for. `rate_per_s` bounds all clients together, 0 means without
    pause. An answer is good when its status is in `expect`, or 2xx when that is empty.
    """

    def __init__(
        self,
        address: Address,
        *,
        clients: int = 16,
        mode: Mode = "keep-alive",
        path: str = "/",
        request: Make | None = None,
        rate_per_s: float = 0.0,
        expect: tuple[int, ...] = (),
    ) -> None:
        self._address = address
        self._modes = [
            mode == "new" or (mode == "both" and each % 2 == 1) for each in range(clients)
        ]
        self._request = request or get(path, host=str(address))
        self._expect = expect
        self._pause_s = clients / rate_per_s if rate_per_s else 0.0
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []
        self._began_s = self._last_good_s = 0.0
        self.tally = Tally()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.stop()

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
        connection = Connection(self._address.host, self._address.port)
        while not self._stopping:
            began_s = time.perf_counter()
            good = await self._ask(connection, began_s)
            if renew:
                await connection.close()
            if not good:
                await asyncio.sleep(PAUSE_AFTER_FAILURE_S)
            elif self._pause_s:
                await asyncio.sleep(max(0.0, began_s + self._pause_s - time.perf_counter()))
        await connection.close()

    async def _ask(self, connection: Connection, began_s: float) -> bool:
        if connection.since_s > KEPT_S:
            await connection.close()
        if connection.lost:
            self._fail("closed without a word", f"after {connection.asked} answers")
            connection.abort()
            return False
        self.tally.sent += 1
        made = connection.made
        try:
            answer = await connection.ask(self._request(self.tally.sent), within_s=ANSWER_WITHIN_S)
        except (OSError, EOFError, TimeoutError, ValueError) as error:
            self._fail(_kind(error), f"{error}, after {connection.asked} answers")
            return False
        finally:
            self.tally.connections += connection.made - made
        self.tally.answered[answer.status] += 1
        if not self._is_good(answer):
            self._fail(f"status {answer.status}", repr(answer.body[:BODY_SHOWN]))
            return False
        self._note_good(began_s, time.perf_counter())
        return True

    def _is_good(self, answer: Answer) -> bool:
        if self._expect:
            return answer.status in self._expect
        return 200 <= answer.status < 300  # noqa: PLR2004  # what HTTP calls a success

    def _note_good(self, began_s: float, now_s: float) -> None:
        self.tally.good += 1
        self.tally.latencies_s.append(now_s - began_s)
        self._note_gap(now_s)
        self._last_good_s = now_s

    def _note_gap(self, now_s: float) -> None:
        self.tally.longest_gap_s = max(self.tally.longest_gap_s, now_s - self._last_good_s)

    def _fail(self, kind: str, words: str) -> None:
        self.tally.failures[kind] += 1
        if len(self.tally.examples) < EXAMPLES_MAX:
            at_s = time.perf_counter() - self._began_s
            self.tally.examples.append(f"after {at_s:.3f} s: {kind}: {words}")


def _kind(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "timeout"
    return str(error) if isinstance(error, EOFError) else type(error).__name__
