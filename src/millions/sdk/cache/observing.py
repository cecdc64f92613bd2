"""Observing: what the cache of each process did, and its hottest names, for who wants to know.

A hit notes nothing: the name that was used last is looked at now and then, so that names are seen
as often as they are asked for. Each process keeps one row of a table that is not logged. It changes
no value; the memory learns from it which names are hot, and lets go of those last.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
from typing import TYPE_CHECKING, Any

import orjson

from millions.sdk.cache.ledger import AWAY
from millions.sdk.cache.sketch import Sketch
from millions.sdk.schema import NAME

if TYPE_CHECKING:
    from collections.abc import Callable

    import asyncpg

    from millions.sdk.cache.memory import Memory
    from millions.sdk.cache.policy import Statistics

LOOK_EVERY_S = 0.05
TELL_EVERY_S = 5.0
FORGOTTEN_S = 60.0
"""The row of a process that told nothing for this long is deleted by the others."""

HOTTEST = 20
HOT_SHARE = 0.02
"""A name is hot when more than this share of lookups is for it: five times what a sketch may be
wrong by, and more than a name has that was seen once among the looks that count."""

LIMIT_S = 2.0

SCHEMA: tuple[str, ...] = (
    f"""CREATE UNLOGGED TABLE IF NOT EXISTS {NAME}.cache_processes (
        process text PRIMARY KEY,
        document jsonb NOT NULL,
        at timestamptz NOT NULL DEFAULT clock_timestamp()
    )""",
)

TELL = f"""
WITH gone AS (
    DELETE FROM {NAME}.cache_processes
    WHERE at < clock_timestamp() - make_interval(secs => $3) AND process <> $1
)
INSERT INTO {NAME}.cache_processes (process, document) VALUES ($1, $2)
ON CONFLICT (process) DO UPDATE SET document = excluded.document, at = clock_timestamp()"""  # noqa: S608


class Observing:
    """Looks at the cache of this process, called `name`, and tells what it saw."""

    def __init__(
        self,
        pool: Callable[[], asyncpg.Pool[Any]],
        memory: Memory,
        statistics: Callable[[], Statistics],
        *,
        name: str,
    ) -> None:
        self.hottest = Sketch()
        self._pool = pool
        self._memory = memory
        self._statistics = statistics
        self._name = name
        self._asked = 0
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Begin, in the background."""
        self._task = asyncio.create_task(self._run(), name="cache observing")

    async def close(self) -> None:
        """Stop; the row is forgotten by the others."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def look(self, asked: int) -> None:
        """Count the name that was used last for all that were `asked` for since the last look."""
        last = next(reversed(self._memory.entries), None)
        if last is not None and asked > self._asked:
            self.hottest.add(last, asked - self._asked)
            self._memory.hot = self.hottest.above(HOT_SHARE)
        self._asked = asked

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        tell_at_s = loop.time()
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            found = self._statistics()
            self.look(found.hits + found.stale_hits + found.misses)
            if loop.time() >= tell_at_s:
                tell_at_s = loop.time() + TELL_EVERY_S
                await self._tell(found)
                self.hottest.fade()

    async def _tell(self, found: Statistics) -> None:
        document = {
            "unit": os.environ.get("MILLIONS_UNIT", ""),
            "statistics": dataclasses.asdict(found),
            "hottest": self.hottest.top(HOTTEST),
        }
        told = orjson.dumps(document).decode()
        try:
            await self._pool().execute(TELL, self._name, told, FORGOTTEN_S, timeout=LIMIT_S)
        except AWAY:
            return  # the next row says all of it
