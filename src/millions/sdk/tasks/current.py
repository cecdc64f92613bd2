"""The task that the code is running in: `tasks.current()`.

It holds no connection; `complete_in` uses the session that it is given.
"""

from __future__ import annotations

import time
from contextvars import ContextVar
from typing import TYPE_CHECKING

from millions.errors import NotRoutableError, TaskError
from millions.sdk.tasks import statements
from millions.sdk.tasks.inside import execute
from millions.sdk.texts import storable

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from millions.sdk.session import Session
    from millions.sdk.tasks.claim import Claim

PROGRESS_EVERY_S = 0.25
"""Progress that is told more often is left out: whoever looks does so once a second."""

WORDS_MAX = 200
LONG_AGO_S = float("-inf")

_current: ContextVar[Current] = ContextVar("millions_task")


class Current:
    """One attempt of one task."""

    __slots__ = ("_claim", "_report", "_shard", "_told_at_s", "_worker", "completed")

    def __init__(
        self,
        claim: Claim,
        *,
        worker: int,
        shard: str | None,
        report: Callable[[int, float, str], None] | None = None,
    ) -> None:
        self._claim = claim
        self._worker = worker
        self._shard = shard
        self._report = report
        self._told_at_s = LONG_AGO_S
        self.completed = False
        """True once `complete_in` has committed."""

    @property
    def id(self) -> int:
        """The task's number, as `enqueue` answered it."""
        return self._claim.id

    @property
    def name(self) -> str:
        """The name under which the function is declared."""
        return self._claim.name

    @property
    def attempt(self) -> int:
        """1 for the first attempt; a failure adds one, a restart of the worker does not."""
        return self._claim.attempt

    @property
    def key(self) -> str | None:
        """The idempotency key that it was enqueued with."""
        return self._claim.key

    @property
    def request_id(self) -> str | None:
        """The request that enqueued it."""
        return self._claim.request_id

    @property
    def due_at(self) -> datetime:
        """When this attempt became due; for a schedule the tick it stands for."""
        return self._claim.due_at

    def progress(self, fraction: float, words: str = "") -> None:
        """Say how far it is, 0 to 1, for `tasks.outcome`; costs no query, from any thread.

        It is kept for a task that is declared with keep_s; what comes too often is left out.
        """
        now_s = time.monotonic()
        if self._report is not None and now_s - self._told_at_s >= PROGRESS_EVERY_S:
            self._told_at_s = now_s
            within = min(max(float(fraction), 0.0), 1.0)
            self._report(self._claim.id, within, storable(words[:WORDS_MAX]))

    async def complete_in(self, session: Session) -> None:
        """Acknowledge this task within `session`'s transaction: its effect and this are one.

        Raise TaskError when the task is no longer held by this worker, so that the transaction
        is rolled back: another one runs it. Whatever the function does afterwards is not retried.
        """
        if self._shard is not None and session.shard != self._shard:
            raise NotRoutableError(
                cannot=f"complete task {self.name} in this session",
                because=f"it is on shard {session.shard}, the task's row on {self._shard}",
                try_="enqueue the task in a session of the same key",
            )
        claim = self._claim
        values = (claim.id, self._worker, claim.attempt)
        if not await execute(session, statements.COMPLETE, values):
            raise TaskError(
                cannot=f"complete task {self.name} ({claim.id})",
                because="this worker does not hold it any more: another one runs it",
                try_="let the error pass, so that the transaction is rolled back",
            )
        session.after_commit(self._committed)

    def _committed(self) -> None:
        self.completed = True


def current() -> Current:
    """Answer the task that is running. Raise TaskError outside of one."""
    found = _current.get(None)
    if found is None:
        raise TaskError(
            cannot="answer the current task",
            because="this code is not running as a task",
            try_="call it from a function declared with @tasks.task()",
        )
    return found


def enter(attempt: Current) -> None:
    """Make `attempt` the current one in this context."""
    _current.set(attempt)
