"""Runs claimed tasks in this process: at most `concurrency` at once, each within its time limit.

It knows nothing of the database: it is given claims, and says what became of them.
"""

from __future__ import annotations

import asyncio
import contextvars
import random
import time
import traceback
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog

from millions.errors import TaskError
from millions.sdk import requests
from millions.sdk.log import log
from millions.sdk.tasks import backoff, codec, current
from millions.sdk.tasks.claim import Burial, Outcomes, Settlement
from millions.sdk.tasks.threads import Job, Threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from millions.sdk.tasks.claim import Claim
    from millions.sdk.tasks.registry import AnyTask, Registry

ERROR_MAX = 4000
"""Characters of a traceback that are kept: its end, which says what happened."""

SWEEP_S = 0.1
"""How often time limits are looked at, while anything runs."""

CANCELS_MAX = 3
CANCEL_SPACING_S = 1.0
"""A task that swallows its cancellation is cancelled so often, so far apart, then left alone."""

TIME_LIMIT = "time limit"
STOPPING = "stopping"


@dataclass(slots=True, eq=False)
class Run:
    """One attempt under way."""

    claim: Claim
    task: AnyTask
    attempt: current.Current
    deadline_s: float
    asyncio_task: asyncio.Task[None] | None = None
    job: Job | None = None
    cancelled: str = ""
    cancels: int = 0
    settled: bool = False


class Runner:
    """The tasks that this process holds: those that run, and those that are next."""

    def __init__(
        self,
        registry: Registry,
        *,
        concurrency: int,
        changed: Callable[[], None],
    ) -> None:
        self.concurrency = concurrency
        self.ready: deque[Claim] = deque()
        self.running: dict[int, Run] = {}
        self.outcomes = Outcomes()
        self.finished = 0
        self.abandoned = 0
        self.last_start_s = 0.0
        self._registry = registry
        self._changed = changed
        self._threads = Threads(concurrency)
        self._sweep: asyncio.TimerHandle | None = None
        self._worker = 0
        self._shard: str | None = None

    def hold(self, claims: Iterable[Claim], *, worker: int, shard: str | None) -> None:
        """Take over `claims`, in their order, and run as many as there is room for."""
        self._worker, self._shard = worker, shard
        self.ready.extend(claims)
        self._fill()

    def held(self) -> list[int]:
        """Every task that the database must believe to be here."""
        return [*(claim.id for claim in self.ready), *self.running, *self.outcomes.ids()]

    def give_back(self) -> None:
        """Let go of what has not begun."""
        while self.ready:
            claim = self.ready.popleft()
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
        """Stop the threads that idle."""
        self._threads.close()
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
            self._unknown(claim, f"{claim.arguments:.200} does not fit its parameters")
            return
        attempt = current.Current(claim, worker=self._worker, shard=self._shard)
        run = Run(claim, task, attempt, self.last_start_s + task.bounds.time_limit_s)
        self.running[claim.id] = run
        run.asyncio_task = asyncio.get_running_loop().create_task(
            self._run(run, arguments, keywords), name=claim.name, context=contextvars.Context()
        )

    async def _run(self, run: Run, arguments: list[Any], keywords: dict[str, Any]) -> None:
        try:
            _enter(run)
            if run.task.is_async:
                await run.task.function(*arguments, **keywords)
            else:
                await self._in_thread(run, arguments, keywords)
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

    async def _in_thread(self, run: Run, arguments: list[Any], keywords: dict[str, Any]) -> None:
        run.job = self._threads.submit(
            lambda: run.task.function(*arguments, **keywords), contextvars.copy_context()
        )
        try:
            await run.job.future
        except asyncio.CancelledError:
            self._threads.give_up(run.job)
            raise

    def _done(self, run: Run) -> None:
        if not run.settled and not run.attempt.completed:
            self.outcomes.done.append(run.claim.id)

    def _failed(self, run: Run, error: BaseException) -> None:
        claim = run.claim
        if run.settled:
            return
        words = _words(error)
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
            **_named(claim),
        )

    def _cancelled(self, run: Run, error: asyncio.CancelledError) -> None:
        claim = run.claim
        if run.settled:
            return
        if run.cancelled == STOPPING:
            self._settle(Settlement(id=claim.id, queue=claim.queue, uncounted=True))
        else:
            self._failed(run, _over_time(run) if run.cancelled == TIME_LIMIT else error)

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
        self._changed()
        log.error("task is a dead letter", error=why, **_named(claim))

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
        log.error("task ignores its cancellation", **_named(run.claim))


def _enter(run: Run) -> None:
    """Fill the empty context of a task: who asked for it, and which attempt it is."""
    claim = run.claim
    current.enter(run.attempt)
    if claim.request_id is not None:
        scope: dict[str, Any] = {"type": "task", "headers": []}
        requests.enter(requests.Request(claim.request_id, scope, time.perf_counter()))
    structlog.contextvars.bind_contextvars(task=claim.name, task_id=claim.id, attempt=claim.attempt)


def _named(claim: Claim) -> dict[str, Any]:
    """What a log line says of a task, where the context does not."""
    return {"task": claim.name, "task_id": claim.id}


def _over_time(run: Run) -> TimeoutError:
    return TimeoutError(f"it ran longer than its limit of {run.task.bounds.time_limit_s:g} s")


def _words(error: BaseException) -> str:
    """The end of the traceback, as PostgreSQL can keep it."""
    lines = traceback.format_exception(error)
    text = "".join(lines)[-ERROR_MAX:].replace("\0", "�")
    return text.encode("utf-8", "replace").decode()
