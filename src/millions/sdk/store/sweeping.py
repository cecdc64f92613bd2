"""Sweeping: deletes rows whose time is over, in bounded batches, one process at a time.

Nothing depends on it but the room on the disk: what is over is invisible before. It never deletes
a row that was renewed meanwhile.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from millions.errors import MillionsError
from millions.sdk.retry import DRIVER_ERRORS

if TYPE_CHECKING:
    from millions.sdk.store.rows import PoolSource

INTERVAL_S = 30.0
"""Between two rounds, longer by chance by up to a half, so that processes do not meet."""

BATCH = 1000
"""Rows of one transaction: it holds their locks for some milliseconds."""

BATCHES_MAX = 50
"""Of one round: 100,000 rows a minute at least."""

STATEMENT_LIMIT_S = 10.0

LOCK = 0x73776570
"""The advisory lock of who sweeps ("swep" in ASCII)."""

_SWEEP = """
DELETE FROM millions.{table} WHERE key IN (
    SELECT key FROM millions.{table} WHERE expires_at <= statement_timestamp()
    ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED
) RETURNING 1
"""

_SWEEPS = tuple(_SWEEP.format(table=table) for table in ("documents", "counters"))


class Sweeping:
    """Sweeps now and then while it runs."""

    def __init__(self, database: PoolSource) -> None:
        self._database = database
        self._task: asyncio.Task[None] | None = None
        self.swept = 0
        self.failures = 0

    def start(self) -> None:
        """Begin, in the background."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="store sweeping")

    async def stop(self) -> None:
        """Stop, and wait until it has."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def sweep(self) -> int:
        """Delete what is over, up to `BATCHES_MAX` batches a table; say how many rows.

        0 also when another process is sweeping.
        """
        deleted = 0
        for sql in _SWEEPS:
            for _ in range(BATCHES_MAX):
                batch = await self._batch(sql)
                deleted += batch
                if batch < BATCH:
                    break
        self.swept += deleted
        return deleted

    async def _batch(self, sql: str) -> int:
        async with (
            self._database.pool().acquire(timeout=STATEMENT_LIMIT_S) as connection,
            connection.transaction(),
        ):
            if not await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", LOCK):
                return 0
            return len(await connection.fetch(sql, BATCH, timeout=STATEMENT_LIMIT_S))

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL_S * random.uniform(1.0, 1.5))  # noqa: S311  # no secret
            try:
                await self.sweep()
            except (*DRIVER_ERRORS, MillionsError):
                self.failures += 1  # the next round sweeps what this one left
