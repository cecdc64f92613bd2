"""What is asked of the two servers of a move, and told to them, as the administrator.

Holds no policy; each function is one question or one deed, bounded in time, and may be repeated.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import asyncpg

from millions.sdk.visible import HELD, NAME_MAX, WATCH
from millions.tiers.database import APPLICATION_ROLE
from millions.tiers.postgresql_standby import ADMINISTRATION_ROLE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from millions.model import Address

T = TypeVar("T")
Connection: TypeAlias = "asyncpg.Connection[Any]"

CONNECT_WITHIN_S = 5.0
ANSWER_WITHIN_S = 10.0
CLOSE_WITHIN_S = 1.0
ANSWERS_WITHIN_S = 60.0
"""A server that was killed is started again and recovers within this, or a person must look."""

PAUSE_S = 0.1
CHECKPOINT_WITHIN_S = 600.0
"""A checkpoint writes all changed pages: gigabytes on a large server."""

PROMOTE_WITHIN_S = 30
"""Promotion replays what was received, then takes milliseconds; more only on a stuck disk."""

LONG_S = 5.0
"""A transaction that runs longer would rather be waited for by a person than cut off."""

PROCESS = r" \d+( [a-z]+)?$"
"""How connections of the SDK are called: by the stack, the process, and perhaps a purpose."""

LOST = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncio.TimeoutError)
"""How a server that is going away answers, or does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a primary says of itself before a move."""

    bytes: int
    logical_slots: tuple[str, ...]
    prepared: int
    long_transactions: int
    in_recovery: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Copying:
    """How far a base backup is, in bytes; `total` is 0 until it is known."""

    done: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Following:
    """How a standby follows, as its primary sees it. Lag in bytes of WAL that it did not replay."""

    state: str
    lag_bytes: int


class Server:
    """One of the two servers; connects when it is first asked, and again when that was lost."""

    def __init__(self, address: Address, secret: Path) -> None:
        self._address = address
        self._secret = secret
        self._connection: Connection | None = None

    async def ask(self, question: Callable[[Connection], Awaitable[T]]) -> T:
        """Ask once. Raise one of LOST when the server does not answer."""
        if self._connection is None or self._connection.is_closed():
            self._connection = await self._connect()
        try:
            return await question(self._connection)
        except (TimeoutError, OSError, asyncpg.InterfaceError):
            await self.close()
            raise

    async def ask_within(
        self, question: Callable[[Connection], Awaitable[T]], *, within_s: float = ANSWERS_WITHIN_S
    ) -> T:
        """Ask until it answers. Raise the last of LOST after `within_s` seconds."""
        deadline_s = time.monotonic() + within_s
        while True:
            try:
                return await self.ask(question)
            except LOST:
                if time.monotonic() > deadline_s:
                    raise
            await asyncio.sleep(PAUSE_S)

    async def close(self) -> None:
        """Drop the connection, if there is one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(*LOST):
                await connection.close(timeout=CLOSE_WITHIN_S)

    async def _connect(self) -> Connection:
        return await asyncpg.connect(
            host=self._address.host,
            port=self._address.port,
            user=ADMINISTRATION_ROLE,
            password=self._secret.read_text(encoding="utf-8").strip(),
            database="postgres",
            timeout=CONNECT_WITHIN_S,
            command_timeout=ANSWER_WITHIN_S,
            server_settings={"application_name": "millions move", "jit": "off"},
        )


async def facts(connection: Connection) -> Facts:
    """Ask what is to be known before a move."""
    row = await connection.fetchrow(
        """SELECT (SELECT sum(pg_database_size(oid)) FROM pg_database) AS bytes,
        ARRAY(SELECT slot_name::text FROM pg_replication_slots
            WHERE slot_type = 'logical') AS slots,
        (SELECT count(*) FROM pg_prepared_xacts) AS prepared,
        (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'
            AND xact_start < now() - make_interval(secs => $1)) AS long,
        pg_is_in_recovery() AS recovery""",
        LONG_S,
    )
    assert row is not None  # noqa: S101  # a SELECT without FROM gives one row
    return Facts(
        bytes=int(row["bytes"]),
        logical_slots=tuple(row["slots"]),
        prepared=row["prepared"],
        long_transactions=row["long"],
        in_recovery=row["recovery"],
    )


async def make_slot(connection: Connection, name: str) -> None:
    """Reserve WAL for a standby, from now on. Nothing happens when it is reserved already."""
    await connection.execute(
        """SELECT pg_create_physical_replication_slot(name, true)
        FROM (VALUES ($1::name)) AS wanted (name)
        WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = name)""",
        name,
    )


async def drop_slot(connection: Connection, name: str) -> bool:
    """Give reserved WAL free; False while a standby still uses it."""
    row = await connection.fetchrow(
        "SELECT active FROM pg_replication_slots WHERE slot_name = $1", name
    )
    if row is None:
        return True
    if row["active"]:
        return False
    await connection.execute("SELECT pg_drop_replication_slot($1::name)", name)
    return True


async def copying(connection: Connection) -> Copying | None:
    """How far the base backup is that runs now; None when none does."""
    row = await connection.fetchrow(
        "SELECT backup_streamed, coalesce(backup_total, 0) AS total "
        "FROM pg_stat_progress_basebackup"
    )
    return None if row is None else Copying(done=row["backup_streamed"] or 0, total=row["total"])


async def following(connection: Connection, name: str) -> Following | None:
    """How the standby called `name` follows; None while it is not connected."""
    row = await connection.fetchrow(
        """SELECT state, coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn), -1) AS lag
        FROM pg_stat_replication WHERE application_name = $1 AND state <> 'backup'""",
        name,
    )
    if row is None:
        return None
    return Following(state=row["state"], lag_bytes=int(row["lag"]))


async def checkpoint(connection: Connection) -> None:
    """Write all changed pages now, so that a clean stop has little left to write."""
    await connection.execute("CHECKPOINT", timeout=CHECKPOINT_WITHIN_S)


async def all_heard(connection: Connection) -> bool:
    """Whether each process of the application that has connections holds its transactions.

    A process that had nothing to watch begins to when it hears; until then it has not.
    """
    waiting = await connection.fetchval(
        """WITH one AS (SELECT application_name AS name, query FROM pg_stat_activity
            WHERE backend_type = 'client backend' AND usename = $1),
        held AS (SELECT right(left(name, -length($3)), $4) || ' ' AS process FROM one
            WHERE name LIKE '%' || $3 AND starts_with(query, $2))
        SELECT EXISTS (SELECT FROM one WHERE (name LIKE '%' || $3 AND NOT starts_with(query, $2))
            OR (name ~ $5 AND NOT EXISTS
                (SELECT FROM held WHERE strpos(one.name || ' ', held.process) > 0)))""",
        APPLICATION_ROLE,
        HELD,
        WATCH,
        NAME_MAX,
        PROCESS,
    )
    return not waiting


async def is_calm(connection: Connection, for_s: float) -> bool:
    """Whether no transaction of the application is open, and none was in the last `for_s` seconds.

    A connection that was opened meanwhile is about to begin one. The watches of the servers
    (`... watch`) go on and do not count.
    """
    busy = await connection.fetchval(
        """SELECT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'client backend'
        AND (usename = $2 OR usename IS NULL) AND application_name NOT LIKE '%' || $3
        AND (xact_start IS NOT NULL
            OR greatest(state_change, backend_start)
                > clock_timestamp() - make_interval(secs => $1)))""",
        for_s,
        APPLICATION_ROLE,
        WATCH,
    )
    return not busy


async def replay_paused(connection: Connection) -> bool:
    """Whether somebody told the standby to stop replaying."""
    return bool(await connection.fetchval("SELECT pg_get_wal_replay_pause_state() <> 'not paused'"))


async def replayed_past(connection: Connection, location: str) -> bool:
    """Whether the standby has replayed the record that begins at `location`, not only up to it."""
    asked = "SELECT pg_last_wal_replay_lsn() > $1::text::pg_lsn"
    return bool(await connection.fetchval(asked, location))


async def system_identifier(connection: Connection) -> str:
    """The number that a server shares with its copies and with nobody else."""
    return str(await connection.fetchval("SELECT system_identifier FROM pg_control_system()"))


async def is_standby(connection: Connection) -> bool:
    """Whether the server follows another one and refuses writes."""
    return bool(await connection.fetchval("SELECT pg_is_in_recovery()"))


async def promote(connection: Connection) -> bool:
    """Let a standby become a primary; True when it is one (also when it was before)."""
    if not await is_standby(connection):
        return True
    await connection.fetchval(
        "SELECT pg_promote(true, $1)", PROMOTE_WITHIN_S, timeout=PROMOTE_WITHIN_S + 5.0
    )
    return not await is_standby(connection)


async def forget_origin(connection: Connection) -> None:
    """Clear what made the server a standby; it is a primary now."""
    for name in ("primary_conninfo", "primary_slot_name"):
        await connection.execute(f"ALTER SYSTEM RESET {name}")
    await connection.execute("SELECT pg_reload_conf()")
