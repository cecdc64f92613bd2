"""Ledger: invalidations that are not yet known to be done on every cache server, in PostgreSQL.

A row is written by the transaction that invalidates, and goes when every registered server has
acknowledged; so it outlives the process that committed, and a server that was away. It talks to no
cache server.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from millions.errors import MillionsError
from millions.sdk.cache import announcing
from millions.sdk.retry import DRIVER_ERRORS
from millions.sdk.schema import NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import asyncpg

ROWS_MAX = 1000
"""Rows that are read at once. A server that lacks more than these is emptied instead."""

SWEPT_AFTER_S = 1.0
"""A row this old was left behind: whoever committed it is dead, or a server was away."""

KEPT_S = 60.0
"""For a server that is away longer, one row that says "everything" replaces all of these."""

LIMIT_S = 4.0

AWAY = (*DRIVER_ERRORS, TimeoutError, MillionsError)
"""What is raised while the database is away, or has no primary."""

SCHEMA: tuple[str, ...] = (
    f"""CREATE TABLE IF NOT EXISTS {NAME}.cache_servers (
        one boolean PRIMARY KEY DEFAULT true CHECK (one),
        stack text NOT NULL,
        epoch bigint NOT NULL,
        addresses text[] NOT NULL,
        xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
        at timestamptz NOT NULL DEFAULT clock_timestamp()
    )""",
    f"""CREATE TABLE IF NOT EXISTS {NAME}.cache_stale (
        id uuid PRIMARY KEY,
        names text[] NOT NULL,
        server text NOT NULL DEFAULT '',
        at timestamptz NOT NULL DEFAULT clock_timestamp()
    )""",
    f"""CREATE UNIQUE INDEX IF NOT EXISTS cache_stale_server
        ON {NAME}.cache_stale (server) WHERE server <> ''""",
)

ANNOUNCE = f"""
WITH kept AS (
    INSERT INTO {NAME}.cache_stale (id, names) SELECT $3::uuid, $4::text[]
    WHERE EXISTS (SELECT FROM {NAME}.cache_servers WHERE addresses <> '{{}}')
) {announcing.SQL}"""  # noqa: S608
"""The notifications that announce; and where there are servers, a row for them."""

REGISTER = f"""
WITH former AS (
    SELECT unnest(addresses) AS address FROM {NAME}.cache_servers WHERE stack = $1
), changed AS (
    INSERT INTO {NAME}.cache_servers (stack, epoch, addresses) VALUES ($1, $2, $3)
    ON CONFLICT (one) DO UPDATE SET stack = excluded.stack, epoch = excluded.epoch,
        addresses = excluded.addresses, xid = excluded.xid, at = excluded.at
    WHERE cache_servers.stack <> excluded.stack OR cache_servers.epoch < excluded.epoch
    RETURNING addresses
)
INSERT INTO {NAME}.cache_stale (id, names, server)
SELECT gen_random_uuid(), '{{}}', address FROM (SELECT unnest(addresses) AS address
    FROM changed) AS present
WHERE address NOT IN (SELECT address FROM former)
ON CONFLICT (server) WHERE server <> '' DO UPDATE SET id = excluded.id"""  # noqa: S608
"""A server that was not there before is emptied before its first use: it may have been there
long ago."""

UNREGISTER = f"""
UPDATE {NAME}.cache_servers SET epoch = $2, addresses = '{{}}', xid = pg_current_xact_id()
WHERE addresses <> '{{}}' AND (stack <> $1 OR epoch < $2)"""  # noqa: S608

REGISTERED = f"""
SELECT addresses FROM {NAME}.cache_servers
WHERE xid < pg_snapshot_xmin(pg_current_snapshot())
   OR at < clock_timestamp() - interval '60 s'"""  # noqa: S608
"""The servers, once every transaction that may not have known of them has ended: one that did not
kept no row."""

ROWS = f"""
SELECT id, names, server FROM {NAME}.cache_stale
WHERE at <= clock_timestamp() - make_interval(secs => $1) ORDER BY at LIMIT {ROWS_MAX + 1}"""  # noqa: S608

DONE = f"""
DELETE FROM {NAME}.cache_stale WHERE id = ANY($1) AND (server = ANY($2) OR server = ''
    AND (SELECT addresses FROM {NAME}.cache_servers) <@ $2)
    AND (SELECT set_config('synchronous_commit', 'off', true)) = 'off'"""  # noqa: S608
"""Nothing waits for a disk: a row that comes back after a crash is done once more."""

REPLACE = f"""
WITH gone AS (
    DELETE FROM {NAME}.cache_stale WHERE id = ANY($1) AND server = ''
        AND at < clock_timestamp() - make_interval(secs => $3) RETURNING id
)
INSERT INTO {NAME}.cache_stale (id, names, server)
SELECT gen_random_uuid(), '{{}}', address FROM (SELECT unnest(addresses) AS address
    FROM {NAME}.cache_servers) AS registered
WHERE address <> ALL($2) AND EXISTS (SELECT FROM gone)
ON CONFLICT (server) WHERE server <> '' DO UPDATE SET id = excluded.id"""  # noqa: S608
"""Another id, so that who empties the server now does not take this row for the one it read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One invalidation; with a `server` it says "everything", to that one alone."""

    id: UUID
    names: tuple[str, ...]
    server: str = ""


class Ledger:
    """The rows, and which servers have to acknowledge them. What it raises is one of `AWAY`."""

    def __init__(self, pool: Callable[[], asyncpg.Pool[Any]]) -> None:
        self._pool = pool

    async def register(self, secret: bytes, epoch: int, addresses: Sequence[str]) -> None:
        """Say which servers the stack has; an older directory than the known one says nothing.

        `secret` tells one stack from another: a restored database knows the servers of the former.
        """
        stack = hashlib.blake2b(secret, digest_size=8, person=b"millions stack").hexdigest()
        arguments: tuple[Any, ...] = (stack, epoch)
        if addresses:
            arguments = (*arguments, sorted(addresses))
        sql = REGISTER if addresses else UNREGISTER
        await self._pool().execute(sql, *arguments, timeout=LIMIT_S)

    async def registered(self) -> frozenset[str]:
        """The servers whose invalidations every transaction keeps by now."""
        found = await self._pool().fetchval(REGISTERED, timeout=LIMIT_S)
        return frozenset(found or ())

    async def rows(self, older_s: float = 0.0) -> list[Row]:
        """What may be missing on some server; more than `ROWS_MAX` rows when there are more."""
        found = await self._pool().fetch(ROWS, older_s, timeout=LIMIT_S)
        return [
            Row(id=UUID(int=each["id"].int), names=tuple(each["names"]), server=each["server"])
            for each in found
        ]

    async def done(self, ids: Sequence[UUID], servers: Sequence[str]) -> None:
        """These invalidations were acknowledged by `servers`."""
        await self._pool().execute(DONE, ids, servers, timeout=LIMIT_S)

    async def replace(self, ids: Sequence[UUID], servers: Sequence[str]) -> None:
        """Of those that are old, keep for servers other than `servers` only that they lack much."""
        await self._pool().execute(REPLACE, ids, servers, KEPT_S, timeout=LIMIT_S)
