"""What operators ask about tasks and do to them: rates, ages, failures, one task, another attempt.

It claims nothing and runs nothing. Each question is one statement.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from millions.sdk.tasks.counting import DONE
from millions.sdk.tasks.dead import DeadTask, TaskStatistics
from millions.sdk.tasks.outcome import STATES
from millions.sdk.tasks.tables import READY, WAITING

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    import asyncpg

    from millions.sdk.tasks.noun import Tasks

LATELY_MINUTES = 5
"""Rates and failures are those of this many minutes before the one that has begun, and of it."""

RATES = """
    SELECT name, kind, sum(tasks)::bigint AS tasks, sum(seconds) AS seconds,
        least(extract(epoch FROM now() - min(min(minute)) OVER ()), $1 * 60.0)::float8 AS over_s
    FROM millions.task_counts
    WHERE minute > now() - $1 * interval '1 minute' GROUP BY name, kind ORDER BY name, kind
"""
SHOW = """
    SELECT id, name, queue, state, priority, attempt AS attempts, losses, arguments, key,
        request_id, error, enqueued_at, due_at, NULL::timestamptz AS died_at,
        unknown_since IS NOT NULL AS unknown,
        (SELECT worker.name FROM millions.task_workers AS worker WHERE worker.id = task.worker)
            AS worker
    FROM millions.tasks AS task WHERE id = $1
    UNION ALL
    SELECT id, name, queue, NULL, priority, attempts, 0, arguments, key, request_id, error,
        enqueued_at, NULL, died_at, false, NULL
    FROM millions.tasks_dead WHERE id = $1
"""
HURRY = f"""
    UPDATE millions.tasks SET state = {READY}, due_at = now(), unknown_since = NULL
    WHERE id = $1 AND state = {WAITING} RETURNING queue
"""  # noqa: S608  # constants
DEAD_OF = """
    SELECT id FROM millions.tasks_dead WHERE name = $1 ORDER BY id LIMIT $2
"""
DEAD = """
    SELECT id, name, queue, arguments, key, request_id, attempts, error, enqueued_at, died_at
    FROM millions.tasks_dead WHERE name = $1 OR $1 IS NULL
    ORDER BY died_at DESC, id DESC LIMIT $2
"""
RETRIED_AT_ONCE_MAX = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """How tasks of one name fared lately. `failures` counts failed attempts by what they raised."""

    name: str
    done: int
    each_minute: float
    mean_ms: float
    failures: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """Everything that is known of one task. `state` is "dead" for a dead letter."""

    id: int
    name: str
    queue: str
    state: str
    priority: int
    attempts: int
    losses: int
    arguments: str
    key: str | None
    request_id: str | None
    error: str | None
    enqueued_at: datetime
    due_at: datetime | None
    died_at: datetime | None
    unknown: bool
    worker: str | None


class Operator:
    """Asks and acts through the noun, which is open."""

    def __init__(self, tasks: Tasks, pool: Callable[[], asyncpg.Pool[Any]]) -> None:
        self._tasks = tasks
        self._pool = pool

    async def statistics(self) -> TaskStatistics:
        """Answer how many tasks are where."""
        return await self._tasks.statistics()

    async def rates(self) -> list[Rate]:
        """Answer how tasks of each name fared in the last minutes."""
        rows = await self._pool().fetch(RATES, LATELY_MINUTES)
        return _rates(rows)

    async def show(self, task_id: int) -> Shown | None:
        """Answer one task, wherever it is; None when there is none, or none any more."""
        row = await self._pool().fetchrow(SHOW, task_id)
        if row is None:
            return None
        state = "dead" if row["state"] is None else STATES[row["state"]]
        known: dict[str, Any] = {**row, "state": state}
        return Shown(**known)

    async def dead(self, *, name: str | None = None, limit: int = 100) -> list[DeadTask]:
        """Answer dead letters, of one name or of all, the latest first."""
        rows = await self._pool().fetch(DEAD, name, limit)
        return [DeadTask(**row) for row in rows]

    async def retry(self, task_id: int) -> bool:
        """Let a dead letter run now, a task that waits within a poll. False: there is none."""
        if await self._tasks.retry_dead(task_id):
            return True
        return await self._pool().fetchval(HURRY, task_id) is not None

    async def retry_all(self, name: str) -> int:
        """Make all dead letters of one name tasks again; answer how many."""
        rows = await self._pool().fetch(DEAD_OF, name, RETRIED_AT_ONCE_MAX)
        retried = 0
        for (task_id,) in rows:
            retried += await self._tasks.retry_dead(task_id)
        return retried


def _rates(rows: list[Any]) -> list[Rate]:
    found: list[Rate] = []
    for name in dict.fromkeys(row["name"] for row in rows):
        own = [row for row in rows if row["name"] == name]
        done = sum(row["tasks"] for row in own if row["kind"] == DONE)
        seconds = sum(row["seconds"] for row in own if row["kind"] == DONE)
        found.append(
            Rate(
                name=name,
                done=done,
                each_minute=60.0 * done / max(1.0, own[0]["over_s"]),
                mean_ms=1e3 * seconds / done if done else 0.0,
                failures={row["kind"]: row["tasks"] for row in own if row["kind"] != DONE},
            )
        )
    return found
