"""Counting: increments of one counter that meet in this process travel together.

While one statement for a counter is under way, those that come wait and go in the next one, so
that a hot counter costs one commit for all of them. Each caller gets the count after its own step.
It never keeps a count: what was not acknowledged was not counted, or is said to be unknown.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from millions.sdk.store.codec import COUNT_MAX

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Send = Callable[[str, int, float | None], Awaitable[int]]

TOGETHER_MAX = 1000
"""Increments of one statement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One increment that waits for its turn."""

    by: int
    answer: asyncio.Future[int]


class Counting:
    """Sends increments with `send(key, by, ttl_s)`: one at a time for each counter."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._waiting: dict[tuple[str, float | None], list[Step]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def increment(self, key: str, by: int, ttl_s: float | None) -> int:
        """Count up by `by` and return the count after that."""
        line = (key, ttl_s)
        waiting = self._waiting.get(line)
        if waiting is None:
            self._waiting[line] = []
            try:
                return await self._send(key, by, ttl_s)
            finally:
                self._go_on(line)
        step = Step(by=by, answer=asyncio.get_running_loop().create_future())
        waiting.append(step)
        return await step.answer

    async def close(self) -> None:
        """Give up what is under way; those who wait are cancelled."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _go_on(self, line: tuple[str, float | None]) -> None:
        """Send those who came meanwhile, if there are any."""
        waiting = self._waiting.pop(line)
        steps = [step for step in waiting[:TOGETHER_MAX] if not step.answer.done()]
        if not steps and len(waiting) <= TOGETHER_MAX:
            return
        self._waiting[line] = waiting[TOGETHER_MAX:]
        task = asyncio.create_task(self._send_together(line, steps), name=f"count {line[0]}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send_together(self, line: tuple[str, float | None], steps: list[Step]) -> None:
        groups = (
            [steps] if sum(abs(step.by) for step in steps) <= COUNT_MAX else [[s] for s in steps]
        )
        try:
            for group in groups:
                await self._send_group(line, group)
        finally:
            for step in steps:
                step.answer.cancel()  # of no effect on those that were answered
            self._go_on(line)

    async def _send_group(self, line: tuple[str, float | None], steps: list[Step]) -> None:
        total = sum(step.by for step in steps)
        try:
            count = await self._send(line[0], total, line[1]) - total
        except Exception as error:  # noqa: BLE001  # each of those who wait raises it
            for step in steps:
                if not step.answer.done():
                    step.answer.set_exception(error)
            return
        for step in steps:
            count += step.by
            if not step.answer.done():
                step.answer.set_result(count)
