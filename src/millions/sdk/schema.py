"""The SDK's own tables, in the schema `millions`. It never touches the application's tables.

Each noun that needs tables exports `SCHEMA`, a tuple of statements that may be run again.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import asyncpg

if TYPE_CHECKING:
    from collections.abc import Iterable

NAME = "millions"
"""The schema; `migrations` keeps Alembic out of it."""

LOCK = 0x4D494C4C494F4E53
"""The advisory lock that one process holds while it makes tables ("MILLIONS" in ASCII)."""

LOCK_LIMIT = "15s"
"""How long a process waits for another one that makes tables, or for a table in use."""

APPLIED = f"""
CREATE TABLE IF NOT EXISTS {NAME}.applied (
    digest text PRIMARY KEY,
    applied_at timestamptz NOT NULL DEFAULT now()
)"""
"""Every digest is kept: during a deploy two releases, with two schemas, start in turn."""


async def ensure(connection: asyncpg.Connection[Any], statements: Iterable[str]) -> None:
    """Run `statements` unless exactly these were run before; one process at a time.

    All of them or none take effect. Raise asyncpg.LockNotAvailableError after `LOCK_LIMIT`.
    """
    listed = tuple(statements)
    digest = hashlib.sha256("\0".join(listed).encode()).hexdigest()
    if await _is_applied(connection, digest):
        return
    async with connection.transaction():
        await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_LIMIT}'")
        await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
        await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {NAME}")
        await connection.execute(APPLIED)
        for statement in listed:
            await connection.execute(statement)
        await connection.execute(
            f"INSERT INTO {NAME}.applied (digest) VALUES ($1) ON CONFLICT DO NOTHING",  # noqa: S608
            digest,
        )


async def _is_applied(connection: asyncpg.Connection[Any], digest: str) -> bool:
    try:
        found = await connection.fetchval(
            f"SELECT true FROM {NAME}.applied WHERE digest = $1",  # noqa: S608  # a constant
            digest,
        )
    except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError):
        return False
    return bool(found)
