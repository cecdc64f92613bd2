"""Connections through asyncpg: for SQLAlchemy's engine, for raw pools, for listening.

It knows how to connect, not when: it never retries. Source: docs/decisions/0002-driver.md.
"""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
from sqlalchemy import event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from millions.errors import UnavailableError
from millions.sdk.notices import Notices
from millions.sdk.retry import ROLLBACK_LIMIT_S

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from millions.directory import DatabasePlace, Endpoint, Shard

    Connect = Callable[[], Awaitable[asyncpg.Connection[Any]]]

CONNECT_LIMIT_S = 5.0

CONNECTIONS_MAX = 1000
"""More connections than any sensible pool has."""

STATEMENT_LIMIT = "60s"
IDLE_LIMIT = "60s"
"""A statement, or a transaction between two of them, lasts this long at most on the server's side;
`SET LOCAL statement_timeout` gives one transaction another bound."""

RAW_POOL_MAX = 4
"""Raw connections of one process to one shard: for tasks and the store, beside `pool_size`."""

CHECKOUT_LIMIT_S = 10.0
"""How long a block waits for one of the pool's connections."""

SILENCE_LIMIT_MS = 10_000
"""A server whose machine vanished is noticed after this long without an acknowledgement."""

URL = "postgresql+asyncpg://"


def arguments(place: DatabasePlace, endpoint: Endpoint, *, name: str) -> dict[str, Any]:
    """What asyncpg needs to connect to `endpoint`; `name` is what the connection is called."""
    return {
        "host": endpoint.host,
        "port": endpoint.port,
        "user": place.user,
        "password": lambda: password(place),
        "database": place.name,
        "timeout": CONNECT_LIMIT_S,
        "ssl": "prefer" if place.tls else False,
        "server_settings": {
            "application_name": name,
            "jit": "off",  # its start costs more than any short statement
            "statement_timeout": STATEMENT_LIMIT,
            "idle_in_transaction_session_timeout": IDLE_LIMIT,
        },
    }


async def connect_with(wanted: dict[str, Any]) -> asyncpg.Connection[Any]:
    """Open one connection with the arguments of `arguments`, within `CONNECT_LIMIT_S`."""
    connection: asyncpg.Connection[Any] = await asyncpg.connect(**wanted)
    await notice_silence(connection)
    return connection


async def connect_to_primary(
    place: DatabasePlace, shard: Shard, settings: dict[str, str]
) -> asyncpg.Connection[Any]:
    """Open one connection to the member of `shard` that is its primary now, once.

    Raise what the last member raised, or ConnectionError when each of them is a replica.
    """
    endpoints = (shard.primary, *shard.replicas)
    last: Exception = ConnectionError(f"each server of {shard.name} is a replica")
    for endpoint in endpoints:
        wanted = arguments(place, endpoint, name="")
        try:
            connection = await connect_with({**wanted, "server_settings": settings})
        except (OSError, asyncpg.CannotConnectNowError) as error:
            last = error
            continue
        if not is_replica(connection):
            return connection
        await connection.close(timeout=CONNECT_LIMIT_S)
    raise last


def is_replica(connection: asyncpg.Connection[Any]) -> bool:
    """Whether the server said that it is one: PostgreSQL reports it unasked."""
    return getattr(connection.get_settings(), "in_hot_standby", "off") == "on"


async def raw_pool(connect: Connect) -> asyncpg.Pool[Any]:
    """Make a pool of raw connections that `connect` opens; connects to nothing yet."""

    async def opened(*_: object, **__: object) -> asyncpg.Connection[Any]:
        return await connect()

    made: asyncpg.Pool[Any] = await asyncpg.create_pool(
        connect=opened, min_size=0, max_size=RAW_POOL_MAX, reset=leave_transaction
    )
    return made


async def leave_transaction(connection: asyncpg.Connection[Any]) -> None:
    """Make a raw connection ready for the next user, at no round trip when nothing is open.

    asyncpg's own reset sends four statements each time; whoever uses the raw pool sets things with
    SET LOCAL only and listens on a connection of its own.
    """
    if connection.is_in_transaction():
        await connection.execute("ROLLBACK", timeout=ROLLBACK_LIMIT_S)


def password(place: DatabasePlace) -> str:
    """Read the password anew, so that a changed one is used from the next connection on."""
    try:
        return Path(place.password_file).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise UnavailableError(
            cannot=f"read the database's password in {place.password_file}",
            because=error.strerror or str(error),
            try_="millions up, which makes it",
        ) from error


def engine(connect: Connect, *, pool_size: int) -> AsyncEngine:
    """Make an engine with a pool of connections that `connect` opens; connects to nothing yet."""

    async def opened(**_: object) -> asyncpg.Connection[Any]:
        return await connect()

    made = create_async_engine(
        URL,
        async_creator=opened,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=CHECKOUT_LIMIT_S,  # never waits: a block takes a seat first
        pool_use_lifo=True,  # few warm connections rather than many cold ones
    )
    event.listen(made.sync_engine, "connect", _watch_notices)
    event.listen(made.sync_engine, "checkout", _refuse_closed)
    return made


async def dispose(engine: AsyncEngine, *, within_s: float) -> None:
    """Close the engine's idle connections; drop those that a silent server keeps from closing.

    Connections in use close when they are given back. The bound is for the first silent one; each
    further one gets a tenth.
    """
    for _ in range(CONNECTIONS_MAX):
        try:
            await asyncio.wait_for(engine.dispose(), within_s)
        except TimeoutError:  # this round has dropped one
            within_s = min(within_s, CONNECT_LIMIT_S / 10)
        else:
            return


def _refuse_closed(adapter: Any, record: object, pooled: object) -> None:
    """Have the pool open another connection in place of one that the server has closed."""
    del record, pooled
    if adapter._connection.is_closed():  # noqa: SLF001  # the seam
        raise DisconnectionError


def _watch_notices(adapter: Any, record: Any) -> None:
    notices = Notices()
    record.info[Notices] = notices
    adapter._connection.add_log_listener(notices.heard)  # noqa: SLF001  # the seam


async def notice_silence(connection: asyncpg.Connection[Any]) -> None:
    """Let the system notice a peer that vanished, within `SILENCE_LIMIT_MS`."""
    transport = getattr(connection, "_transport", None)
    found = None if transport is None else transport.get_extra_info("socket")
    if found is None or found.family not in (socket.AF_INET, socket.AF_INET6):
        return
    found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        ("TCP_KEEPIDLE", 5),
        ("TCP_KEEPINTVL", 2),
        ("TCP_KEEPCNT", 3),
        ("TCP_USER_TIMEOUT", SILENCE_LIMIT_MS),
    ):
        if hasattr(socket, option):
            found.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
