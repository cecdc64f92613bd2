"""Counts what became of tasks, by name, minute and kind of failure: what operators ask for.

The counts are statistics: what a killed worker had counted in its last seconds is lost.
"""

from __future__ import annotations

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
    """What was counted since it was last written: how many, and their seconds together."""

    def __init__(self) -> None:
        self._counted: dict[tuple[str, str], list[float]] = {}
        self._done: dict[str, list[float]] = {}

    def done(self, name: str, seconds: float) -> None:
        """Count one task that ran well; called for each, so it does as little as it can."""
        known = self._done.get(name)
        if known is None:
            self._done[name] = [1, seconds]
        else:
            known[0] += 1
            known[1] += seconds

    def failed(self, name: str, kind: str, seconds: float) -> None:
        """Count one attempt that failed, and of what."""
        known = self._counted.setdefault((name, kind[:KIND_MAX]), [0, 0.0])
        known[0] += 1
        known[1] += seconds

    async def write(self, lane: Lane) -> None:
        """Write them, in one order for all workers, so that none waits for another in a ring."""
        counted = self._counted | {(name, DONE): known for name, known in self._done.items()}
        if not counted:
            return
        self._counted, self._done = {}, {}
        rows = sorted(counted.items())
        await lane.raw.execute(
            COUNT,
            [name for (name, _), _ in rows],
            [kind for (_, kind), _ in rows],
            [int(tasks) for _, (tasks, _) in rows],
            [seconds for _, (_, seconds) in rows],
        )
