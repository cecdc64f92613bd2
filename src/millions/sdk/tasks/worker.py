"""A worker: claims tasks, runs them, says what became of them. One connection, one event loop.

    idle ──a hint, or the slow poll──→ claims ──→ runs ──→ acknowledges while it claims more

It holds about as many tasks as it does in a tenth of a second, so that quick ones travel in large
batches and slow ones stay for others. It outlives the loss of its connection.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import asyncpg

from millions.sdk.log import log
from millions.sdk.tasks import counting
from millions.sdk.tasks.claim import Outcomes
from millions.sdk.tasks.lane import LOST, Lane
from millions.sdk.tasks.pace import Pace
from millions.sdk.tasks.runner import CANCEL_SPACING_S, CANCELS_MAX, STOPPING, Runner
from millions.sdk.tasks.tending import EVERY_S, LEASE_S, Tended, Tender
from millions.sdk.tasks.vacuum import Vacuum
from millions.sdk.tasks.watchdog import Watchdog

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from millions.sdk.tasks.lane import Connect
    from millions.sdk.tasks.registry import Registry
    from millions.sdk.tasks.wake import Wake

POLL_S = 2.0
"""Hints may be lost; the database is asked at least this often."""

POLL_LEAST = 0.75
"""Polls are shortened by chance to down to this share, so that workers do not ask all at once."""

DRAIN_S = 25.0
"""How long a stopping worker lets its tasks go on: less than the supervisor waits for it (30 s)."""

STALE_S = 1.0
"""What was claimed but did not begin within this time goes back: others may be free."""

BATCH_WORTH = 64
BREATH_S = 0.002
"""After an exchange about fewer tasks the next one waits for as long as this one took, at most
so long: half of the connection's time for small batches is enough."""

FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 1.0
"""Between attempts to connect again; shorter than others take to declare a worker dead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What may be chosen for one worker.

    `queues` None: every queue that a task is declared for; `limits` bounds how many tasks of a
    queue run at once; `processes` how many of those that are declared with process=True.
    """

    queues: Sequence[str] | None = None
    limits: Mapping[str, int] = field(default_factory=dict[str, int])
    processes: int = 1
    drain_s: float = DRAIN_S
    exits_when_blocked: bool = False


class Worker:
    """`async with worker:` runs tasks until the block ends, and then lets them finish."""

    def __init__(
        self,
        *,
        connect: Connect,
        registry: Registry,
        wake: Wake,
        concurrency: int,
        options: Options,
        shard: str | None = None,
    ) -> None:
        self._lane = Lane(connect, f"{socket.gethostname()} {os.getpid()}")
        self._wake = wake
        self._shard = shard
        self._drain_s = options.drain_s
        self._event = asyncio.Event()
        self._runner = Runner(
            registry,
            concurrency=concurrency,
            processes=options.processes,
            changed=self._event.set,
        )
        self._pace = Pace(registry, self._runner, options.queues, options.limits)
        self._tender = Tender(self._lane, registry)
        self._vacuum = Vacuum(connect)
        self._watchdog = Watchdog(self._runner, exits=options.exits_when_blocked)
        self._serving: asyncio.Task[None] | None = None
        self._leave_wake: Callable[[], None] | None = None
        self._closing = False
        self._connected = False
        self._tend_at_s = 0.0
        self._beat_at_s = 0.0
        self._poll_at_s = 0.0
        self._count_at_s = 0.0

    async def __aenter__(self) -> Self:
        try:
            await self._open()
        except BaseException:  # the first time an error is the caller's
            self._lane.drop()
            raise
        self._leave_wake = self._wake.join(self)
        self._watchdog.start()
        self._serving = asyncio.create_task(self._serve(), name="millions tasks")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def connected(self) -> bool:
        """Whether it can claim at this moment."""
        return self._connected

    @property
    def held(self) -> int:
        """How many tasks it holds."""
        return len(self._runner.held())

    def work(self) -> dict[str, int]:
        """How many tasks it may run and holds at once, and how many attempts ended since it began.

        What ended and was not told yet is not held any more.
        """
        runner = self._runner
        held = len(runner.ready) + len(runner.running)
        return {"slots": runner.concurrency, "held": held, "done": runner.finished}

    def looks_at(self) -> tuple[list[str], list[int]]:
        """The queues and the priorities whose tasks it claims."""
        return self._pace.looks_at()

    def held_names(self) -> list[str]:
        """The tasks that run here now, by name; from any thread."""
        return [run.claim.name for run in tuple(self._runner.running.values())]

    async def stop(self) -> None:
        """Claim nothing more, let tasks finish for `drain_s`, give back the rest. Idempotent."""
        serving, self._serving = self._serving, None
        if serving is None:
            return
        self._closing = True
        if self._leave_wake is not None:
            self._leave_wake()
        self._runner.give_back()
        self._event.set()
        await asyncio.wait([serving], timeout=self._drain_s)
        if not serving.done():
            self._runner.cancel_all(STOPPING)
            await asyncio.wait([serving], timeout=CANCEL_SPACING_S * (CANCELS_MAX + 1))
        serving.cancel()
        await asyncio.wait([serving])
        self._watchdog.stop()
        await self._vacuum.close()
        self._runner.close()
        await self._lane.close()
        self._wake.announce_again()

    def offered(self, queue: str, count: int) -> int:
        """Hear of new tasks; answer how many of them this worker has room for."""
        room = self._pace.offered(queue, count)
        if room:
            self._event.set()
        return room

    def look_again(self) -> None:
        """Hear that tasks from earlier are ready again."""
        self._pace.look_from_the_start()
        self._event.set()

    async def _serve(self) -> None:
        """Converse with the database, and connect again whenever that breaks."""
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                if not self._connected:
                    await self._open()
                    pause_s = FIRST_PAUSE_S
                await self._converse()
            except Exception as error:  # noqa: BLE001  # a new connection reconciles
                self._connected = False
                self._lane.drop()
                _say(error)
                if self._closing and not self._runner.held():
                    return
                await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311  # jitter
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
            else:
                return

    async def _open(self) -> None:
        if await self._lane.open():
            await self._lane.restore(self._runner.held())
        else:
            self._runner.forget()
        await self._wake.listen(self._lane.raw, self._lane.worker)
        await self._tender.introduce()
        self._pace.look_from_the_start()
        self._connected = True
        self._tend_at_s = self._poll_at_s = 0.0
        self._beat_at_s = time.monotonic() + LEASE_S / 3

    async def _converse(self) -> None:
        """Tend, acknowledge, claim, wait; return when closing and nothing is left to say."""
        while not (self._closing and not self._runner.running and not self._runner.outcomes):
            now_s = time.monotonic()
            if now_s >= self._beat_at_s:
                await self._beat(now_s)
            if now_s >= self._tend_at_s and not self._closing:
                await self._tend()
            if now_s >= self._poll_at_s:
                self._pace.may_have_work = True
            if now_s >= self._count_at_s:
                self._count_at_s = now_s + counting.FLUSH_EVERY_S
                await self._runner.counts.write(self._lane)
            if self._runner.ready and now_s - self._runner.last_start_s > STALE_S:
                self._runner.give_back()
            wanted = 0 if self._closing else self._pace.wanted()
            if wanted or self._runner.outcomes:
                await self._exchange(wanted)
            else:
                await self._wait()
        await self._runner.counts.write(self._lane)

    async def _exchange(self, wanted: int) -> None:
        outcomes, self._runner.outcomes = self._runner.outcomes, Outcomes()
        lines = self._pace.lines() if wanted else ()
        began_s = time.monotonic()
        try:
            if outcomes.settled or outcomes.buried or outcomes.kept:
                await self._lane.tell(outcomes)
            claims = await self._lane.exchange(outcomes.done, lines, wanted)
        except BaseException:
            self._runner.outcomes.put_back(outcomes)
            raise
        now_s = time.monotonic()
        took_s = now_s - began_s
        self._pace.exchanged(claims, wanted, took_s=took_s, now_s=now_s)
        self._vacuum.consider(self._runner.finished)
        if wanted:
            self._poll_at_s = now_s + POLL_S * random.uniform(POLL_LEAST, 1.0)  # noqa: S311  # jitter
        if claims:
            kept = self._pace.within_limits(claims)
            self._runner.hold(kept, worker=self._lane.worker, shard=self._shard)
        if self._closing:
            self._runner.give_back()
        elif len(outcomes.done) + len(claims) < BATCH_WORTH and self._runner.running:
            await asyncio.sleep(min(took_s, BREATH_S))  # more finish meanwhile

    async def _tend(self) -> None:
        try:
            tended = await self._tender.tend()
        except asyncpg.LockNotAvailableError:  # a task completes in a transaction at this moment
            tended = Tended(again_in_s=EVERY_S)
        self._tend_at_s = time.monotonic() + tended.again_in_s
        if tended.made_ready:
            self._pace.look_from_the_start()
            self._wake.announce_again()

    async def _beat(self, now_s: float) -> None:
        self._beat_at_s = now_s + LEASE_S / 3
        if not await self._lane.beat():
            log.warning("tasks: this worker was declared dead and begins anew")
            await self._open()

    async def _wait(self) -> None:
        """Until something happens, or something is due."""
        due_s = min(self._beat_at_s, self._tend_at_s, self._poll_at_s)
        if self._runner.ready:
            due_s = min(due_s, self._runner.last_start_s + STALE_S)
        delay_s = max(0.0, due_s - time.monotonic())
        timer = asyncio.get_running_loop().call_later(delay_s, self._event.set)
        try:
            await self._event.wait()
        finally:
            timer.cancel()
            self._event.clear()


def _say(error: Exception) -> None:
    because = f"{type(error).__name__}: {error}"
    if isinstance(error, LOST):
        log.warning("tasks: lost the database", because=because)
    else:
        log.error(
            "tasks: the conversation with the database failed", because=because, exc_info=error
        )
