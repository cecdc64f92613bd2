"""What one worker at a time does for all: finds the dead, makes due tasks ready, keeps schedules.

Each step is one statement of one transaction, under an advisory lock that is tried, never waited
for. Any worker can do it, so nothing here needs an election.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from millions.sdk.log import log
from millions.sdk.tasks import counting, outcome, statements

if TYPE_CHECKING:
    import asyncpg

    from millions.sdk.tasks.lane import Lane
    from millions.sdk.tasks.registry import Registry

EVERY_S = 1.0
"""How often it is done when nothing is due earlier: bounds how late a death is noticed."""

WORKERS_PER_TURN = 4
"""With more workers each tries less often, so that all together try about four times a second."""

MISSING_S = 1.0
"""A worker whose connection is gone has this long to come back before its tasks go to others."""

LEASE_S = 30.0
"""A worker that does not say so for this long is taken for dead, whatever its connection looks
like: its machine is gone, or a task blocks its event loop."""

LOSSES_MAX = 5
"""A task whose worker died so often while holding it is a dead letter: it may be the cause."""

PROMOTE_MAX = 5000
SWEEP_EVERY_S = 60.0
SWEEP_MAX = 10_000
DEAD_KEPT_S = 30 * 86_400.0
"""Dead letters are kept for a month."""

SOONEST_S = 0.02
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tended:
    """When to tend again, and whether tasks became ready."""

    again_in_s: float
    made_ready: bool = False


class Tender:
    """Tends over the worker's own connection, between its other statements."""

    def __init__(self, lane: Lane, registry: Registry) -> None:
        self._lane = lane
        self._registry = registry
        self._next_tick: dict[str, datetime] = {}
        self._workers = 1
        self._sweep_at_s = time.monotonic() + SWEEP_EVERY_S * random.random()  # noqa: S311  # jitter

    async def introduce(self) -> None:
        """Make schedules that are new known: their first tick is the next one, not the last."""
        names = sorted(self._registry.schedules)
        if names:
            await self._lane.raw.execute(statements.INTRODUCE, names)

    async def tend(self) -> Tended:
        """Do what is due, unless another worker is at it."""
        connection = self._lane.raw
        async with connection.transaction():
            turn = await connection.fetchrow(statements.TRY_TEND)
            if turn is None or not turn["mine"]:
                return Tended(again_in_s=self._pause_s())
            made_ready = await self._bring_out_the_dead(connection)
            promoted = await connection.fetch(statements.PROMOTE, PROMOTE_MAX)
            ticked, enqueued = await self._tick(connection, turn["now"])
            due = await connection.fetchrow(statements.NEXT_DUE)
            await self._sweep(connection)
        self._next_tick.update(ticked)
        self._workers = due["workers"] if due else 1
        waits_s = [self._pause_s(), *self._until_ticks_s(turn["now"])]
        if due and due["in_s"] is not None:
            waits_s.append(due["in_s"])
        return Tended(
            again_in_s=max(SOONEST_S, min(waits_s)),
            made_ready=bool(made_ready or promoted or enqueued),
        )

    async def _bring_out_the_dead(self, connection: asyncpg.Connection[Any]) -> bool:
        own = self._lane.worker
        await connection.execute(statements.LOOK, own)
        dead = await connection.fetch(statements.DECLARE_DEAD, own, MISSING_S, LEASE_S)
        if not dead:
            return False
        workers = [worker for (worker,) in dead]
        await connection.execute(statements.BURY_DEADLY, workers, LOSSES_MAX)
        released = await connection.fetch(statements.RELEASE, workers)
        log.warning("workers died", workers=workers, tasks_given_to_others=len(released))
        return bool(released)

    async def _tick(
        self, connection: asyncpg.Connection[Any], now: datetime
    ) -> tuple[dict[str, datetime], bool]:
        """Enqueue what is due by a schedule.

        Answer the next tick of each that was looked at, and whether any was enqueued.
        """
        due: list[tuple[str, str, int, datetime]] = []
        following: dict[str, datetime] = {}
        for name, schedule in self._registry.schedules.items():
            if self._next_tick.get(name, LONG_AGO) <= now:
                bounds = self._registry.tasks[name].bounds
                due.append((name, bounds.queue, bounds.priority, schedule.latest(now)))
                following[name] = schedule.following(now)
        if not due:
            return following, False
        columns = (list(column) for column in zip(*due, strict=True))
        return following, bool(await connection.fetch(statements.TICK, *columns))

    async def _sweep(self, connection: asyncpg.Connection[Any]) -> None:
        """Forget old keys and old dead letters, now and then and not all at once."""
        if time.monotonic() < self._sweep_at_s:
            return
        self._sweep_at_s = time.monotonic() + SWEEP_EVERY_S
        await connection.execute(statements.SWEEP_KEYS, SWEEP_MAX)
        await connection.execute(statements.SWEEP_DEAD, SWEEP_MAX, DEAD_KEPT_S)
        await connection.execute(outcome.SWEEP, SWEEP_MAX)
        await connection.execute(counting.SWEEP, SWEEP_MAX, counting.KEPT_S)

    def _pause_s(self) -> float:
        share = max(1.0, self._workers / WORKERS_PER_TURN)
        return EVERY_S * share * random.uniform(0.75, 1.25)  # noqa: S311  # jitter

    def _until_ticks_s(self, now: datetime) -> list[float]:
        return [(tick - now).total_seconds() for tick in self._next_tick.values()]
