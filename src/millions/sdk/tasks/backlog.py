"""What there is to do, as a worker says it to whoever decides how many workers there are.

Each worker says what it holds itself, and of its queues how many tasks wait for anybody and since
when. One bounded statement, at most once in `FRESH_S`; it claims nothing.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

from millions.sdk.tasks.tables import READY

if TYPE_CHECKING:
    from collections.abc import Callable

    import asyncpg

    from millions.sdk.tasks.worker import Worker

FRESH_S = 0.4
"""How old what is said of the queues may be: whoever asks more often costs the database nothing."""

WAIT_S = 1.0
"""A database that does not answer for so long is not waited for."""

COUNTED_MAX = 10_000
"""Of each queue and priority: more are not counted, and no older one is looked for behind them."""

WAITING = f"""
    SELECT count(*) AS waiting,
        coalesce(greatest(extract(epoch FROM clock_timestamp() - min(due_at)), 0), 0)::float8
            AS oldest_s
    FROM unnest($1::text[]) AS queue, unnest($2::smallint[]) AS priority, LATERAL (
        SELECT due_at FROM millions.tasks AS task
        WHERE state = {READY} AND task.queue = queue.queue AND task.priority = priority.priority
        ORDER BY id LIMIT {COUNTED_MAX}
    ) AS ready
"""  # noqa: S608  # constants


class Backlog:
    """Says what a worker has to do, and what waits for it and others like it."""

    def __init__(self, worker: Worker, pool: Callable[[], asyncpg.Pool[Any]]) -> None:
        self._worker = worker
        self._pool = pool
        self._waiting: dict[str, Any] = {}
        self._until_s = 0.0

    async def text(self) -> bytes:
        """A JSON object. Raise TimeoutError, or what asyncpg raises, when nobody knows."""
        if time.monotonic() >= self._until_s:
            async with asyncio.timeout(WAIT_S):
                row = await self._pool().fetchrow(WAITING, *self._worker.looks_at())
            self._waiting = dict(row) if row is not None else {}
            self._until_s = time.monotonic() + FRESH_S
        return json.dumps({**self._worker.work(), **self._waiting}).encode()
