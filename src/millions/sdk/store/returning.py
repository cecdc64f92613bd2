"""Returning: what was on servers goes back into the tables, each key before it is first used there.

The servers refuse every write by then, so what they have under a key stays as it is. Who takes a
key back notes so in the same transaction as its rows; another one finds the note, waits for it if
need be, and takes nothing. A crash at any point leaves the key on the servers, and no note. Beside
that, one process takes back all the others, batch by batch, and removes what is noted from the
servers, until they are found to have nothing.
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, Any

import asyncpg

from millions.errors import MillionsError
from millions.sdk.log import log
from millions.sdk.retry import DRIVER_ERRORS, Fate, Patience, fate
from millions.sdk.store import changes
from millions.sdk.store.changes import ElsewhereError
from millions.sdk.store.moving import ONE_MOVES, PAUSE_S, REMEMBERED_MAX
from millions.sdk.store.rows import alone

if TYPE_CHECKING:
    from collections.abc import Sequence

    from millions.sdk.store.changes import Change
    from millions.sdk.store.rows import PoolSource
    from millions.sdk.store.servers.leaving import Given, Leaving

ESTIMATE_EVERY_S = 0.5

ROWS_TOGETHER = 5000

_NOTED = "SELECT key FROM millions.store_returned WHERE key = ANY($1::text[])"
_NOTE = """
INSERT INTO millions.store_returned (key)
SELECT key FROM unnest($1::text[]) AS given (key) ORDER BY key
ON CONFLICT DO NOTHING RETURNING key
"""
_UNTIL = "clock_timestamp() + left_ms * interval '1 ms'"
_DOCUMENTS = f"""
INSERT INTO millions.documents (key, value, version, expires_at)
SELECT key, value, version, {_UNTIL}
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[])
    AS given (key, value, version, left_ms)
ON CONFLICT DO NOTHING
"""  # noqa: S608  # constants, here and below
_COUNTERS = f"""
INSERT INTO millions.counters (key, value, expires_at)
SELECT key, value, {_UNTIL}
FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS given (key, value, left_ms)
ON CONFLICT DO NOTHING
"""  # noqa: S608
_ITEMS = """
INSERT INTO millions.sorted_items (key, member, score)
SELECT key, member, score
FROM unnest($1::text[], $2::text[], $3::float8[]) AS given (key, member, score)
ON CONFLICT DO NOTHING
"""
_ESTIMATE = "UPDATE millions.store_changes SET unmoved_keys = $2 WHERE number = $1"
_PROVE = """
UPDATE millions.store_changes SET unmoved_keys = 0, proven_at = now() WHERE number = $1
"""


class Returning:
    """Takes keys back, from the time at which the servers are left until they have nothing."""

    def __init__(self, database: PoolSource, leaving: Leaving, change: Change) -> None:
        self._database = database
        self._leaving = leaving
        self._change = change
        self._settled: set[str] = set()
        self._task: asyncio.Task[None] | None = None
        self._estimate_at_s = 0.0
        self.is_over = False

    def start(self) -> None:
        """Begin to take everything back, in the background."""
        self._task = asyncio.create_task(self._return_all(), name="store returning")

    async def stop(self) -> None:
        """Stop, and wait until it has; another process goes on."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def settle(self, keys: Sequence[str]) -> None:
        """Return once nothing under `keys` is missing in the tables. Raise ElsewhereError."""
        missing = [key for key in keys if key not in self._settled]
        patience = Patience(doing="take the store back")
        while missing and not self.is_over:
            try:
                await self._take_back(missing)
            except asyncpg.UndefinedTableError as error:
                await self._look_if_over()
                if not self.is_over:
                    await patience.pause(error)
                continue
            except DRIVER_ERRORS as error:
                if fate(error) is Fate.REFUSED:
                    raise
                await patience.pause(error)
                continue
            if len(self._settled) > REMEMBERED_MAX:
                self._settled.clear()
            self._settled.update(missing)
            return

    async def _take_back(self, keys: list[str]) -> None:
        noted = await self._database.pool().fetch(_NOTED, keys)
        missing = sorted(set(keys) - {row["key"] for row in noted})
        if not missing:
            return
        given = await self._leaving.given(missing)
        async with self._database.pool().acquire() as connection, connection.transaction():
            mine = {row["key"] for row in await connection.fetch(_NOTE, missing)}
            await _insert(connection, [each for each in given if each.key in mine])

    async def _look_if_over(self) -> None:
        """Know if this return has come to its end. Raise ElsewhereError after a later change."""
        found = await changes.latest(self._database.pool())
        if found.number != self._change.number:
            raise ElsewhereError
        self.is_over = found.is_over

    async def _return_all(self) -> None:
        """Take back key after key, while no other process does."""
        while not self.is_over:
            try:
                await self._return_as_the_one()
            except (*DRIVER_ERRORS, MillionsError, ElsewhereError) as error:
                if await self._is_of_no_use():
                    return
                log.warning("store not taken back yet", because=str(error))
            if not self.is_over:
                await asyncio.sleep(random.uniform(*PAUSE_S))  # noqa: S311  # no secret
        self._settled.clear()

    async def _is_of_no_use(self) -> bool:
        """Whether somebody else has finished, or a later change has begun."""
        try:
            await self._look_if_over()
        except ElsewhereError:
            return True
        except (*DRIVER_ERRORS, MillionsError):
            return False
        return self.is_over

    async def _return_as_the_one(self) -> None:
        async with (
            self._database.pool().acquire() as connection,
            alone(connection, ONE_MOVES) as we_move,
        ):
            if not we_move:
                await connection.fetch("SELECT FROM millions.store_returned LIMIT 1")
                return
            while await self._some_were_found(connection):
                continue
            await self._leaving.forget([])  # all removals are on a majority of disks
            await self._finish(connection)

    async def _some_were_found(self, connection: Any) -> bool:
        """Take back what one pass over all keys of one leader finds; False: there was nothing."""
        cursor, term, some = "", 0, False
        while cursor != "0":
            found = await self._leaving.found(cursor or "0")
            if term not in (0, found.term):
                return True  # another server leads: its order of keys is another one
            cursor, term = found.cursor, found.term
            await self._estimate(connection, found.estimate)
            if found.keys:
                some = True
                await self._take_back(found.keys)
                await self._leaving.forget(found.keys)
        return some

    async def _estimate(self, connection: Any, keys: int) -> None:
        now_s = time.monotonic()
        if now_s >= self._estimate_at_s:
            self._estimate_at_s = now_s + ESTIMATE_EVERY_S
            await connection.execute(_ESTIMATE, self._change.number, keys)

    async def _finish(self, connection: Any) -> None:
        async with connection.transaction():
            await connection.execute(f"SET LOCAL lock_timeout = '{changes.LOCK_LIMIT}'")
            await connection.execute(_PROVE, self._change.number)
            await connection.execute("DROP TABLE millions.store_returned")
        self.is_over = True


async def _insert(connection: Any, given: list[Given]) -> None:
    documents = [
        (each.key, each.document, each.version, each.document_left_ms)
        for each in given
        if each.document is not None
    ]
    counters = [
        (each.key, each.count, each.count_left_ms) for each in given if each.count is not None
    ]
    items = [(each.key, member, score) for each in given for member, score in each.items]
    for sql, rows in ((_DOCUMENTS, documents), (_COUNTERS, counters), (_ITEMS, items)):
        for start in range(0, len(rows), ROWS_TOGETHER):
            columns = zip(*rows[start : start + ROWS_TOGETHER], strict=True)
            await connection.execute(sql, *map(list, columns))
