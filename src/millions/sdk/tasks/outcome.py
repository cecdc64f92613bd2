"""What became of a task, as the web tier asks: its state, its progress and its result.

A result is kept for the `keep_s` of its task, and then forgotten. It is written with the worker's
acknowledgement, never before the task ran.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from millions.sdk.tasks import codec
from millions.sdk.tasks.tables import HELD, READY, WAITING

if TYPE_CHECKING:
    import asyncpg

KEEP = """
    INSERT INTO millions.task_results AS known (id, progress, words, result, kept_until)
    SELECT id, progress, words, result, now() + keep_s * interval '1 second'
    FROM unnest($1::bigint[], $2::float8[], $3::text[], $4::text[], $5::float8[])
        AS said (id, progress, words, result, keep_s)
    ON CONFLICT (id) DO UPDATE SET progress = excluded.progress, words = excluded.words,
        result = coalesce(excluded.result, known.result), kept_until = excluded.kept_until
"""
SWEEP = """
    DELETE FROM millions.task_results WHERE id = ANY (ARRAY(
        SELECT id FROM millions.task_results WHERE kept_until < now() LIMIT $1))
"""
ASK = """
    SELECT task.state, task.attempt, coalesce(task.error, dead.error) AS error,
        dead.id IS NOT NULL AS dead, kept.id IS NOT NULL AS kept,
        kept.progress, kept.words, kept.result
    FROM (SELECT $1::bigint AS id) AS asked
    LEFT JOIN millions.tasks AS task USING (id)
    LEFT JOIN millions.tasks_dead AS dead USING (id)
    LEFT JOIN millions.task_results AS kept USING (id)
"""
STATES = {READY: "ready", WAITING: "waiting", HELD: "running"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What is written of one task. `result` is the text of a row; None while there is none."""

    id: int
    keep_s: float
    progress: float = 0.0
    words: str = ""
    result: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a task stands: ready, waiting, running, done, dead, or gone.

    `gone`: it is done and nothing of it was kept, or there was none of this number. `progress` is 0
    to 1 and `words` what it said last; `result` is what it returned, `error` why it failed last.
    """

    id: int
    state: str
    progress: float = 0.0
    words: str = ""
    result: Any = None
    error: str | None = None


async def ask(pool: asyncpg.Pool[Any], task_id: int) -> Outcome:
    """Answer how task `task_id` stands at this moment."""
    row = await pool.fetchrow(ASK, task_id)
    if row is None:
        return Outcome(id=task_id, state="gone")
    if row["state"] is not None:
        state = STATES[row["state"]]
    elif row["dead"]:
        state = "dead"
    else:
        state = "done" if row["result"] is not None else "gone"
    result = codec.decode(row["result"])[0][0] if state == "done" else None
    return Outcome(
        id=task_id,
        state=state,
        progress=1.0 if state == "done" else row["progress"] or 0.0,
        words=row["words"] or "",
        result=result,
        error=row["error"],
    )
