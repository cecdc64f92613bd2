"""Runs claimed tasks in this process: at most `concurrency` at once, each within its time limit.

It knows nothing of the database: it is given claims, and says what became of them.
"""

from __future__ import annotations

import asyncio
import contextvars
import random
import time
from collections import Counter, deque
from typing import TYPE_CHECKING, Any

from millions.errors import TaskError
from millions.sdk.log import log
from millions.sdk.tasks import backoff, codec, current
from millions.sdk.tasks.attempt import Run, enter, kind_of, named, over_time, words_of
from millions.sdk.tasks.claim import Burial, Outcomes, Settlement
from millions.sdk.tasks.counting import Counts
from millions.sdk.tasks.outcome import Kept
from millions.sdk.tasks.processes import Processes
from millions.sdk.tasks.threads import Threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from millions.sdk.tasks.claim import Claim
    from millions.sdk.tasks.registry import Registry

SWEEP_S = 0.1
"""How often time limits are looked at, while anything runs."""

CANCELS_MAX = 3
CANCEL_SPACING_S = 1.0
"""A task that swallows its cancellation is cancelled so often, so far apart, then left alone."""

TIME_LIMIT = "time limit"
STOPPING = "stopping"


class Runner:
    """The tasks that this process holds: those that run, and those that are next."""

    def __init__(
        self,
        registry: Registry,
        *,
        concurrency: int,
        processes: int = 1,
        changed: Callable[[], None],
    ) -> None:
        self.concurrency = concurrency
        self.processes = processes
        self.counts = Counts()
        self.ready: deque[Claim] = deque()
        self.running: dict[int, Run] = {}
        self.outcomes = Outcomes()
        self.finished = 0
        self.abandoned = 0
        self.last_start_s = 0.0
        self._registry = registry
        self._changed = changed
        self._threads = Threads(concurrency)
        self._processes = Processes(processes)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sweep: asyncio.TimerHandle | None = None
        self._worker = 0
        self._shard: str | None = None

    def hold(self, claims: Iterable[Claim], *, worker: int, shard: str | None) -> None:
        """Take over `claims`, in their order, and run as many as there is room for."""
        self._loop = asyncio.get_running_loop()
        self._worker, self._shard = worker, shard
        self.ready.extend(claims)
        self._fill()

    def held(self) -> list[int]:
        """Every task that the database must believe to be here."""
        return [*(claim.id for claim in self.ready), *self.running, *self.outcomes.ids()]

    def held_by_queue(self) -> Counter[str]:
        """How many tasks of each queue run or are next."""
        running = (run.claim.queue for run in self.running.values())
        return Counter([*running, *(claim.queue for claim in self.ready)])

    def give_back(self) -> None:
        """Let go of what has not begun."""
        while self.ready:
            self.return_claim(self.ready.popleft())

    def return_claim(self, claim: Claim) -> None:
        """Let go of one task, at once and uncounted."""
        self._settle(Settlement(id=claim.id, queue=claim.queue, uncounted=True))

    def cancel_all(self, why: str) -> None:
        """Cancel what runs; `why` decides what becomes of it."""
        for run in tuple(self.running.values()):
            self._cancel(run, why)

    def forget(self) -> None:
        """Drop everything without a word: other workers have it."""
        self.ready.clear()
        self.outcomes = Outcomes()
        for run in self.running.values():
            run.settled = True
            if run.asyncio_task is not None:
                run.asyncio_task.cancel()
        self.abandoned += len(self.running)
        self.running.clear()

    def close(self) -> None:
        """Stop the threads and processes that idle."""
        self._threads.close()
        self._processes.close()
        if self._sweep is not None:
            self._sweep.cancel()

    def _fill(self) -> None:
        while self.ready and len(self.running) < self.concurrency:
            self._start(self.ready.popleft())
        if self.running and self._sweep is None:
            self._sweep = asyncio.get_running_loop().call_later(SWEEP_S, self._look_at_limits)

    def _start(self, claim: Claim) -> None:
        self.last_start_s = time.monotonic()
        task = self._registry.tasks.get(claim.name)
        if task is None:
            self._unknown(claim, "no function of this name is declared in this release")
            return
        try:
            arguments, keywords = codec.decode(claim.arguments)
        except codec.NewerFormatError as error:
            self._unknown(claim, str(error))
            return
        except TaskError as error:
            self._bury(claim, str(error))
            return
        if not task.accepts(arguments, keywords):
            self._unknown(claim, task.misfit(arguments, keywords))
            return
        attempt = current.Current(
            claim, worker=self._worker, shard=self._shard, report=self._reported
        )
        began_s = self.last_start_s
        run = Run(claim, task, attempt, began_s, began_s + task.bounds.time_limit_s)
        self.running[claim.id] = run
        run.asyncio_task = asyncio.get_running_loop().create_task(
            self._run(run, arguments, keywords), name=claim.name, context=contextvars.Context()
        )

    async def _run(self, run: Run, arguments: list[Any], keywords: dict[str, Any]) -> None:
        try:
            enter(run)
            if run.task.is_async:
                result = await run.task.function(*arguments, **keywords)
            elif run.task.bounds.process:
                text = await self._processes.run(run.task, run.claim, run.attempt.progress)
                result = codec.decode(text)[0][0] if run.task.bounds.keep_s else None
            else:
                result = await self._in_thread(run, arguments, keywords)
            if run.task.bounds.keep_s:
                self._keep(run, result)
        except asyncio.CancelledError as error:
            self._cancelled(run, error)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001  # SystemExit too ends the task only
            self._failed(run, error)
        else:
            self._done(run)
        finally:
            self._over(run)

    async def _in_thread(self, run: Run, arguments: list[Any], keywords: dict[str, Any]) -> Any:
        run.job = self._threads.submit(
            lambda: run.task.function(*arguments, **keywords), contextvars.copy_context()
        )
        try:
            return await run.job.future
        except asyncio.CancelledError:
            self._threads.give_up(run.job)
            raise

    def _keep(self, run: Run, result: Any) -> None:
        """Have the result written, where it is kept. Raise TaskError for one that cannot be."""
        if not run.settled:
            text = codec.encode([result], {})
            keep_s = run.task.bounds.keep_s
            kept = Kept(id=run.claim.id, keep_s=keep_s, progress=1.0, result=text)
            self.outcomes.kept[run.claim.id] = kept

    def _reported(self, task_id: int, fraction: float, words: str) -> None:
        """Hear of progress, from any thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._progressed, task_id, fraction, words)

    def _progressed(self, task_id: int, fraction: float, words: str) -> None:
        run = self.running.get(task_id)
        if run is not None and run.task.bounds.keep_s:
            keep_s = run.task.bounds.keep_s
            kept = Kept(id=task_id, keep_s=keep_s, progress=fraction, words=words)
            self.outcomes.kept[task_id] = kept
            self._changed()

    def _done(self, run: Run) -> None:
        if not run.settled:
            self.counts.done(run.claim.name, time.monotonic() - run.began_s)
            if not run.attempt.completed:
                self.outcomes.done.append(run.claim.id)

    def _failed(self, run: Run, error: BaseException) -> None:
        claim = run.claim
        if run.settled:
            return
        words = words_of(error)
        self.counts.failed(claim.name, kind_of(error), time.monotonic() - run.began_s)
        final = claim.attempt > run.task.bounds.retries
        if final:
            self.outcomes.buried.append(Burial(id=claim.id, error=words))
        else:
            delay_s = backoff.delay_s(claim.attempt, chance=random.random())  # noqa: S311  # jitter
            self._settle(Settlement(id=claim.id, queue=claim.queue, delay_s=delay_s, error=words))
        (log.error if final else log.warning)(
            "task failed",
            attempt=claim.attempt,
            again=not final,
            completed=run.attempt.completed,
            error=words.rstrip().rpartition("\n")[2],
            **named(claim),
        )

    def _cancelled(self, run: Run, error: asyncio.CancelledError) -> None:
        claim = run.claim
        if run.settled:
            return
        if run.cancelled == STOPPING:
            self._settle(Settlement(id=claim.id, queue=claim.queue, uncounted=True))
        else:
            self._failed(run, over_time(run) if run.cancelled == TIME_LIMIT else error)

    def _unknown(self, claim: Claim, why: str) -> None:
        """Leave it for others for a while: a newer release may have enqueued it."""
        chance = random.random()  # noqa: S311  # jitter
        delay_s = backoff.unknown_delay_s(claim.unknown_s or 0.0, chance=chance)
        if delay_s is None:
            self._bury(claim, why)
            return
        self._settle(
            Settlement(
                id=claim.id,
                queue=claim.queue,
                delay_s=delay_s,
                uncounted=True,
                error=why,
                unknown=True,
            )
        )

    def _bury(self, claim: Claim, why: str) -> None:
        self.outcomes.buried.append(Burial(id=claim.id, error=why))
        self.counts.failed(claim.name, "does not fit this release", 0.0)
        self._changed()
        log.error("task is a dead letter", error=why, **named(claim))

    def _settle(self, settlement: Settlement) -> None:
        self.outcomes.settled.append(settlement)
        self._changed()

    def _over(self, run: Run) -> None:
        if run.settled:
            self.abandoned -= 1
            return
        run.settled = True
        self.finished += 1
        self.running.pop(run.claim.id, None)
        self._fill()
        self._changed()

    def _look_at_limits(self) -> None:
        self._sweep = None
        now_s = time.monotonic()
        for run in tuple(self.running.values()):
            if now_s >= run.deadline_s:
                self._cancel(run, run.cancelled or TIME_LIMIT)
        self._fill()

    def _cancel(self, run: Run, why: str) -> None:
        if run.cancels >= CANCELS_MAX:
            self._abandon(run)
            return
        run.cancelled = why
        run.cancels += 1
        run.deadline_s = time.monotonic() + CANCEL_SPACING_S
        if run.asyncio_task is not None:
            run.asyncio_task.cancel(why)

    def _abandon(self, run: Run) -> None:
        """Give up waiting for a task that swallows its cancellation. What it does is its own."""
        self._cancelled(run, asyncio.CancelledError())
        self._over(run)
        self.abandoned += 1
        log.error("task ignores its cancellation", **named(run.claim))
