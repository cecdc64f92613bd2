"""Has the rows of done tasks removed while their table is small, without waiting for autovacuum.

Autovacuum looks once a minute: a worker that is busy leaves a million dead rows by then, and
claims would read a table that no longer fits into memory. It never removes anything by itself.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import asyncpg

from millions.sdk.log import log
from millions.sdk.tasks import statements

if TYPE_CHECKING:
    from millions.sdk.tasks.lane import Connect

EVERY_TASKS = 50_000
"""Two dead rows each: some 20 MB, which is cleaned in a tenth of a second."""

SHARE = 20
"""It may take this share (1/20) of the time, no more: beside an old transaction, which keeps
everything, it would take longer and longer for nothing."""

LIMIT_S = 60.0


class Vacuum:
    """Runs VACUUM over a connection of its own, once in `EVERY_TASKS` tasks of this worker."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._running: asyncio.Task[None] | None = None
        self._next_tasks = EVERY_TASKS
        self._next_at_s = 0.0

    def consider(self, finished: int) -> None:
        """Start one in the background when `finished` tasks say that it is time."""
        if finished < self._next_tasks or time.monotonic() < self._next_at_s:
            return
        if self._running is None or self._running.done():
            self._next_tasks = finished + EVERY_TASKS
            self._running = asyncio.create_task(self._run(), name="millions vacuum")

    async def close(self) -> None:
        """End the one under way."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])

    async def _run(self) -> None:
        began_s = time.monotonic()
        try:
            async with asyncio.timeout(LIMIT_S):
                connection = await self._connect()
                try:
                    await connection.execute(statements.VACUUM)
                finally:
                    connection.terminate()
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
            log.warning("tasks: not vacuumed; autovacuum will", because=str(error))
        took_s = time.monotonic() - began_s
        self._next_at_s = time.monotonic() + took_s * SHARE
