"""Counts what became of tasks, by name, minute and kind of failure: what operators ask for.

The counts are statistics: what a killed worker had counted in its last seconds is lost.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from millions.sdk.tasks.lane import Lane

FLUSH_EVERY_S = 2.0
KIND_MAX = 80
DONE = ""
"""The kind of what did not fail."""

KEPT_S = 86_400.0

COUNT = """
    INSERT INTO millions.task_counts AS known (minute, name, kind, tasks, seconds)
    SELECT date_trunc('minute', now()), * FROM unnest($1::text[], $2::text[], $3::bigint[],
        $4::float8[])
    ON CONFLICT (minute, name, kind) DO UPDATE
        SET tasks = known.tasks + excluded.tasks, seconds = known.seconds + excluded.seconds
"""
SWEEP = """
    DELETE FROM millions.task_counts WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM millions.task_counts
        WHERE minute < now() - $2::float8 * interval '1 second' LIMIT $1))
"""


class Counts:
    """What was counted since it was last written."""

    def __init__(self) -> None:
        self._tasks: Counter[tuple[str, str]] = Counter()
        self._seconds: dict[tuple[str, str], float] = {}

    def note(self, name: str, kind: str, seconds: float) -> None:
        """Count one attempt of task `name`: `kind` is DONE, or what it failed of."""
        what = (name, kind[:KIND_MAX])
        self._tasks[what] += 1
        self._seconds[what] = self._seconds.get(what, 0.0) + seconds

    async def write(self, lane: Lane) -> None:
        """Write them, in one order for all workers, so that none waits for another in a ring."""
        if not self._tasks:
            return
        rows = sorted(self._tasks.items())
        seconds = [self._seconds[what] for what, _ in rows]
        self._tasks.clear()
        self._seconds.clear()
        columns = ([name for (name, _), _ in rows], [kind for (_, kind), _ in rows])
        await lane.raw.execute(COUNT, *columns, [count for _, count in rows], seconds)
