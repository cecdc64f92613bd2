"""Moving: what was in the tables goes to the servers, each key before it is first used there.

A key is taken over under a lock of its rows, and its rows are gone when that is done: nobody does
anything with it on the servers before. A crash at any point leaves the rows, and taking them over
again changes nothing. Beside that, one process takes over all the others, batch by batch.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import asyncpg

from millions.errors import MillionsError
from millions.sdk.log import log
from millions.sdk.retry import DRIVER_ERRORS, Fate, Patience, fate
from millions.sdk.store.changes import LOCK, LOCK_LIMIT, NAMES, ElsewhereError
from millions.sdk.store.rows import alone

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from millions.sdk.store.rows import PoolSource
    from millions.sdk.store.servers.asking import Asking

ONE_MOVES = LOCK + 1
"""The advisory lock of who moves all the rest."""

BATCH = 200
"""Keys of one transaction of who moves all: each of them waits for some milliseconds at most."""

ADOPT_TOGETHER = 500
REMEMBERED_MAX = 100_000
"""Keys that are known to have moved; more are forgotten, and asked for again."""

PAUSE_S = (0.5, 1.0)

_LEFT_MS = "ceil(extract(epoch FROM expires_at - clock_timestamp()) * 1000)::bigint AS left_ms"
_DOCUMENTS = f"""
SELECT 'd' AS kind, key, version || ':' || value AS value, {_LEFT_MS}
FROM millions.former_documents WHERE key = ANY($1::text[]) ORDER BY key FOR UPDATE
"""  # noqa: S608  # constants, here and below
_COUNTERS = f"""
SELECT 'c' AS kind, key, value::text AS value, {_LEFT_MS}
FROM millions.former_counters WHERE key = ANY($1::text[]) ORDER BY key FOR UPDATE
"""  # noqa: S608
_ITEMS = """
SELECT 'z' AS kind, key, member, score
FROM millions.former_sorted_items WHERE key = ANY($1::text[]) ORDER BY key, member FOR UPDATE
"""


class Moving:
    """Takes keys over, from the time at which the tables are put aside until they are empty."""

    def __init__(self, database: PoolSource, asking: Asking) -> None:
        self._database = database
        self._asking = asking
        self._settled: set[str] = set()
        self._task: asyncio.Task[None] | None = None
        self.is_over = False

    def start(self) -> None:
        """Begin to move everything, in the background."""
        self._task = asyncio.create_task(self._move_all(), name="store moving")

    async def stop(self) -> None:
        """Stop, and wait until it has; another process goes on."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def settle(self, keys: Sequence[str]) -> None:
        """Return once nothing under `keys` is in the tables any more."""
        if self.is_over:
            return
        missing = [key for key in keys if key not in self._settled]
        patience = Patience(doing="move the store")
        while missing and not self.is_over:
            try:
                await self._take_over(missing)
            except asyncpg.UndefinedTableError:
                self.is_over = True
            except DRIVER_ERRORS as error:
                if fate(error) is Fate.REFUSED:
                    raise
                await patience.pause(error)
                continue
            if len(self._settled) > REMEMBERED_MAX:
                self._settled.clear()
            self._settled.update(missing)
            return

    async def _take_over(self, keys: list[str]) -> None:
        async with self._database.pool().acquire() as connection, connection.transaction():
            found: list[Any] = []
            for sql in (_DOCUMENTS, _COUNTERS, _ITEMS):
                found += await connection.fetch(sql, keys)
            if not found:
                return
            await self._adopt(found)
            for table in NAMES:
                await connection.execute(
                    f"DELETE FROM millions.former_{table} WHERE key = ANY($1::text[])",  # noqa: S608
                    keys,
                )

    async def _adopt(self, rows: Iterable[Any]) -> None:
        from millions.sdk.store.servers.scripts import ADOPT  # noqa: PLC0415  # needs hiredis

        parts = [part for row in rows if (part := _part(row)) is not None]
        for start in range(0, len(parts), ADOPT_TOGETHER):
            given = [each for part in parts[start : start + ADOPT_TOGETHER] for each in part]
            await self._asking.write(ADOPT, *given, harmless=True)

    async def _move_all(self) -> None:
        """Move key after key, while no other process does."""
        while not self.is_over:
            try:
                await self._move_as_the_one()
            except asyncpg.UndefinedTableError:
                self.is_over = True
            except (*DRIVER_ERRORS, MillionsError, ElsewhereError) as error:
                log.warning("store not moved yet", because=str(error))
            if not self.is_over:
                await asyncio.sleep(random.uniform(*PAUSE_S))  # noqa: S311  # no secret
        self._settled.clear()

    async def _move_as_the_one(self) -> None:
        async with (
            self._database.pool().acquire() as connection,
            alone(connection, ONE_MOVES) as we_move,
        ):
            if not we_move:
                await connection.fetch("SELECT FROM millions.former_documents LIMIT 1")
                return
            for table in NAMES:
                while keys := await connection.fetch(
                    f"SELECT key FROM millions.former_{table} ORDER BY key LIMIT $1",  # noqa: S608
                    BATCH,
                ):
                    await self._take_over(sorted({row["key"] for row in keys}))
            await self._finish(connection)

    async def _finish(self, connection: Any) -> None:
        async with connection.transaction():
            await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_LIMIT}'")
            for table in NAMES:
                await connection.execute(f"DROP TABLE millions.former_{table}")
        self.is_over = True


def _part(row: Any) -> tuple[str, str, str, str] | None:
    """The arguments with which a row is taken over; None for one whose time is over."""
    name = f"{row['kind']}:{row['key']}"
    if row["kind"] == "z":
        return "z", name, repr(row["score"]), row["member"]
    left_ms = row["left_ms"]
    if left_ms is not None and left_ms <= 0:
        return None
    return row["kind"], name, row["value"], "" if left_ms is None else str(left_ms)
