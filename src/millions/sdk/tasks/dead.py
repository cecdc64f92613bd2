"""What operators ask: dead letters and how many tasks are where. It claims nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from millions.sdk.tasks import tables

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadTask:
    """A task that failed for good. `arguments` is JSON text, `error` the end of its traceback."""

    id: int
    name: str
    queue: str
    arguments: str
    key: str | None
    request_id: str | None
    attempts: int
    error: str
    enqueued_at: datetime
    died_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStatistics:
    """How many tasks of a queue are in each state; `oldest_s`: how late the oldest ready one is."""

    queue: str
    ready: int = 0
    waiting: int = 0
    running: int = 0
    oldest_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskStatistics:
    """All queues, the workers that live, and the dead letters."""

    queues: tuple[QueueStatistics, ...]
    workers: int
    dead: int

    @property
    def ready(self) -> int:
        """Tasks that any worker may claim."""
        return sum(each.ready for each in self.queues)

    @property
    def waiting(self) -> int:
        """Tasks that are due later."""
        return sum(each.waiting for each in self.queues)

    @property
    def running(self) -> int:
        """Tasks that workers hold."""
        return sum(each.running for each in self.queues)


_NAMES = {tables.READY: "ready", tables.WAITING: "waiting", tables.HELD: "running"}


def by_queue(rows: Iterable[Any]) -> tuple[QueueStatistics, ...]:
    """Answer one QueueStatistics for each queue, from the rows of `statements.COUNTS`."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        counts = found.setdefault(row["queue"], {})
        counts[_NAMES[row["state"]]] = row["tasks"]
        if row["state"] == tables.READY:
            counts["oldest_s"] = max(0.0, row["oldest_s"] or 0.0)
    return tuple(QueueStatistics(queue=queue, **found[queue]) for queue in sorted(found))
