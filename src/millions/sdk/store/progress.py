"""Progress of a change of the store's home, as PostgreSQL knows it: for who waits for its end."""

from __future__ import annotations

from typing import Any

import asyncpg

from millions.sdk.store import changes

COUNTED_MAX = 100_000
"""Of more rows than this PostgreSQL's own estimate is taken."""

_LEFT = f"""
(SELECT CASE WHEN few < {COUNTED_MAX} THEN few
    ELSE greatest(few, pg_stat_get_live_tuples('millions.former_{{name}}'::regclass)) END
FROM (SELECT count(*) AS few FROM (SELECT FROM millions.former_{{name}} LIMIT {COUNTED_MAX}) AS one)
    AS counted)
"""  # noqa: S608  # constants
_LEFT_IN_TABLES = " + ".join(_LEFT.format(name=name) for name in changes.NAMES)
_LEFT_ON_SERVERS = "SELECT unmoved_keys FROM millions.store_changes WHERE number = $1"


async def unmoved(connection: asyncpg.Connection[Any], *, to_servers: bool) -> int | None:
    """How much is still to be moved in that direction, about; None: the change has not begun.

    0 is exact: it is proven that the former home has nothing any more.
    """
    found = await changes.latest(connection)
    if found.to_servers != to_servers or (not to_servers and not found.number):
        return None
    if found.is_over:
        return 0
    if to_servers:
        return await _left_in_tables(connection)
    return max(1, await connection.fetchval(_LEFT_ON_SERVERS, found.number) or 0)


async def _left_in_tables(connection: asyncpg.Connection[Any]) -> int:
    """Count rows; 0 once their tables are dropped, which happens when there are none."""
    try:
        return max(1, int(await connection.fetchval(f"SELECT {_LEFT_IN_TABLES}")))
    except asyncpg.UndefinedTableError:
        return 0
