"""Changes of the store's home: which was the latest, and how the next one begins, at one moment.

A change to servers renames the tables, so that PostgreSQL refuses whoever still works with them. A
change to the tables gives the servers a higher number, so that they refuse whoever knows of the
former one only; then the tables are made. A crash in between leaves servers that refuse everybody,
and the next process begins the change anew, with a higher number. It moves nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from millions.errors import UnavailableError
from millions.sdk.store.schema import CHANGES, RETURNED, TABLES

if TYPE_CHECKING:
    from millions.sdk.store.rows import PoolSource

NAMES = ("documents", "counters", "sorted_items")
LOCK = 0x6D6F7665
"""The advisory lock of who begins a change ("move" in ASCII)."""

LOCK_LIMIT = "250ms"
"""Renaming waits this long for transactions that use the tables, and tries again later: whoever
comes meanwhile waits behind it."""

VERSIONS_OF_A_TERM = 10**12
"""On servers a version is a term times this, and a sequence."""

VERSIONS_MEANWHILE = 10**9
"""More than the tables give out between two statements."""

_LATEST = """
SELECT number, to_servers, CASE
    WHEN to_servers THEN to_regclass('millions.former_sorted_items') IS NULL
    ELSE proven_at IS NOT NULL END AS is_over
FROM millions.store_changes ORDER BY number DESC LIMIT 1
"""
_UNCOUNTED = """
SELECT 0::bigint AS number, to_regclass('millions.store_moved') IS NOT NULL AS to_servers,
    to_regclass('millions.former_sorted_items') IS NULL AS is_over
"""
_BEGIN = """
INSERT INTO millions.store_changes (number, to_servers) VALUES ($1, $2)
"""
_LAST_VERSION = "SELECT last_value FROM millions.store_versions"
_RAISE_VERSIONS = """
SELECT setval('millions.store_versions', greatest(nextval('millions.store_versions'), $1))
"""


class ElsewhereError(Exception):
    """Nothing was done: the store has, or is about to have, another home."""

    def __init__(self) -> None:
        super().__init__("the store has another home since, or will have in a moment")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change of home. `number` 0: there was none that has one; `is_over`: all has moved."""

    number: int
    to_servers: bool
    is_over: bool


class Servers(Protocol):
    """What servers are told of a change; of one of which they know a later one, nothing."""

    async def turn(self, number: int, floor: int) -> int | None:
        """Refuse those who know of an earlier change; a version above all that were given."""
        ...

    async def number_there(self) -> int:
        """The number of the latest change that they know of."""
        ...


async def latest(connection: Any) -> Change:
    """The latest change. Before there was one with a number, what tables there are tells."""
    counted = await _counted(connection)
    if counted is not None:
        return counted
    uncounted = _change(await connection.fetchrow(_UNCOUNTED))
    return await _counted(connection) or uncounted  # the first may have begun in between


async def begin(database: PoolSource, servers: Servers, *, to_servers: bool) -> None:
    """Change home, unless the latest change did so, or has not come to its end.

    That the tables are home is worth a change as long as none has a number: what servers have is
    looked for then.

    Raise ElsewhereError when another process begins one now, or the servers know of a later one.
    """
    async with database.pool().acquire() as connection, connection.transaction():
        former = await _locked(connection)
        is_done = former.to_servers == to_servers and (to_servers or former.number > 0)
        if is_done or not former.is_over:
            return
        await connection.execute(CHANGES)
        if to_servers:
            await _begin_to_servers(connection, servers, former)
        else:
            await _begin_to_tables(connection, servers, former)


async def repair(database: PoolSource, servers: Servers, known: Change) -> None:
    """Let servers that know of a change that did not begin, or of none, be the home that they are.

    The former is what a crash between their change and the tables' leaves.
    """
    async with database.pool().acquire() as connection, connection.transaction():
        found = await _locked(connection)
        there = await servers.number_there()
        if found != known or there == known.number:
            return
        if not known.to_servers:
            raise _lost(there)
        await connection.execute(CHANGES)
        await _turn(connection, servers, known, to_servers=True, floor=0)


async def _locked(connection: Any) -> Change:
    """The latest change, which stays that until the transaction ends."""
    await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_LIMIT}'")
    if not await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", LOCK):
        raise ElsewhereError
    return await latest(connection)


async def _begin_to_servers(connection: Any, servers: Servers, former: Change) -> None:
    last = await connection.fetchval(_LAST_VERSION)
    floor = (last + VERSIONS_MEANWHILE) // VERSIONS_OF_A_TERM
    await _turn(connection, servers, former, to_servers=True, floor=floor)
    for name in NAMES:
        await connection.execute(f"ALTER TABLE millions.{name} RENAME TO former_{name}")
    await connection.execute(
        "CREATE TABLE millions.store_moved (moved_at timestamptz DEFAULT now())"
    )


async def _begin_to_tables(connection: Any, servers: Servers, former: Change) -> None:
    version = await _turn(connection, servers, former, to_servers=False, floor=0)
    await connection.execute(TABLES)
    await connection.execute(_RAISE_VERSIONS, version)
    await connection.execute("DROP TABLE IF EXISTS millions.store_moved")
    await connection.execute(RETURNED)


async def _turn(
    connection: Any, servers: Servers, former: Change, *, to_servers: bool, floor: int
) -> int:
    number = max(former.number, await servers.number_there()) + 1
    version = await servers.turn(number, floor)
    if version is None:
        raise ElsewhereError
    await connection.execute(_BEGIN, number, to_servers)
    return version


async def _counted(connection: Any) -> Change | None:
    found = await connection.fetchval("SELECT to_regclass('millions.store_changes') IS NOT NULL")
    row = await connection.fetchrow(_LATEST) if found else None
    return None if row is None else _change(row)


def _change(row: Any) -> Change:
    return Change(number=row["number"], to_servers=row["to_servers"], is_over=row["is_over"])


def _lost(there: int) -> UnavailableError:
    return UnavailableError(
        cannot="take the store back into the database",
        because=f"its servers do not have what they had when that began (change {there} there)",
        try_="start them with the data folders that they had",
    )
