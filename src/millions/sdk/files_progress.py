"""How far files have moved between the folder and the bucket, as it is recorded in PostgreSQL.

It moves nothing. A record belongs to the epoch in which files came to live where they do.
"""

from __future__ import annotations

from typing import Any

import asyncpg

SCHEMA: tuple[str, ...] = (
    """
    CREATE TABLE IF NOT EXISTS millions.files_move (
        single boolean PRIMARY KEY DEFAULT true CHECK (single),
        to_servers boolean NOT NULL,
        epoch bigint NOT NULL,
        remaining bigint,
        told_at timestamptz NOT NULL DEFAULT clock_timestamp()
    )
    """,
    """
    CREATE TABLE IF NOT EXISTS millions.files_moved (name text COLLATE "C" PRIMARY KEY)
    """,
)
"""`files_moved` has the names of which the folder holds what the bucket holds, or something newer,
on the way back. On the way to the bucket what was moved is in the folder no more."""

TOLD_WITHIN_S = 30.0
"""That everything is back counts for so long; who copies says it again every few seconds, for as
long as files are on their way back."""

_BEGIN = """
INSERT INTO millions.files_move (to_servers, epoch) VALUES ($1, $2)
ON CONFLICT (single) DO UPDATE
SET to_servers = $1, epoch = $2, remaining = NULL, told_at = clock_timestamp()
WHERE (files_move.to_servers, files_move.epoch) <> ($1, $2)
RETURNING true
"""
_TELL = """
UPDATE millions.files_move SET remaining = $2, told_at = clock_timestamp() WHERE epoch = $1
"""
_UNMOVED = """
SELECT CASE
    WHEN to_servers OR remaining > 0 OR told_at > clock_timestamp() - make_interval(secs => $2)
    THEN remaining
END
FROM millions.files_move WHERE to_servers = $1
"""

Connection = Any
"""An asyncpg connection, or what a pool gives for one."""


async def unmoved(connection: Connection, *, to_servers: bool) -> int | None:
    """Answer how many files are still to be moved in that direction.

    0 says that all of them were, and that it was proven; None that it has not begun, or that
    nobody has said so lately.
    """
    try:
        found: int | None = await connection.fetchval(_UNMOVED, to_servers, TOLD_WITHIN_S)
    except asyncpg.UndefinedTableError:
        return None
    return found


async def begin(connection: Connection, *, to_servers: bool, epoch: int) -> None:
    """Begin a record, unless it is this one already."""
    async with connection.transaction():
        if await connection.fetchval(_BEGIN, to_servers, epoch):
            await connection.execute("DELETE FROM millions.files_moved")


async def tell(connection: Connection, epoch: int, remaining: int) -> None:
    """Record how many files are still to be moved."""
    await connection.execute(_TELL, epoch, remaining)


async def among(connection: Connection, names: list[str]) -> set[str]:
    """Answer which of `names` are back."""
    sql = "SELECT name FROM millions.files_moved WHERE name = ANY($1::text[])"
    return {row["name"] for row in await connection.fetch(sql, names)}


async def remember(connection: Connection, name: str) -> None:
    """Record that `name` is back."""
    sql = "INSERT INTO millions.files_moved (name) VALUES ($1) ON CONFLICT DO NOTHING"
    await connection.execute(sql, name)
