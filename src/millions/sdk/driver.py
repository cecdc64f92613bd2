"""The seam to asyncpg: connecting, and one transaction whose outcome is known or said to be unknown.

The only file that knows what is inside SQLAlchemy's asyncpg adapter. It never retries.
Source: docs/decisions/0002-driver.md; SQLAlchemy `dialects/postgresql/asyncpg.py`.
"""

from __future__ import annotations

import asyncio
import socket
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import asyncpg
from sqlalchemy import event
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.util import await_only

from millions.errors import SdkError, UnavailableError
from millions.sdk.retry import CANCELLED

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.engine import Connection

    from millions.directory import DatabasePlace, Endpoint

CONNECT_LIMIT_S = 5.0
BEGIN_LIMIT_S = 5.0
"""BEGIN does nothing: a server that does not answer it in this time is not there."""

COMMIT_LIMIT_S = 30.0
"""A commit may wait for a disk or a replica, but not for ever; after this it is unknown."""

ROLLBACK_LIMIT_S = 5.0

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

SYNC_WAIT = "SyncRepWaitForLSN"
"""The function inside PostgreSQL whose WARNING says: committed here, perhaps on no replica."""

URL = "postgresql+millions://"


class Outcome(Enum):
    """How a transaction ended."""

    OPEN = "open"
    COMMITTED = "committed"
    ROLLED_BACK = "rolled back"
    UNKNOWN = "unknown"


class Adapter(Protocol):
    """The part of SQLAlchemy's adapter for one connection that this file uses."""

    _connection: asyncpg.Connection[Any]
    _transaction: object | None

    def rollback(self) -> None: ...
    def commit(self) -> None: ...
    def terminate(self) -> None: ...


def arguments(place: DatabasePlace, endpoint: Endpoint, *, name: str) -> dict[str, Any]:
    """What asyncpg needs to connect to `endpoint`; `name` is what the connection is called."""
    return {
        "host": endpoint.host,
        "port": endpoint.port,
        "user": place.user,
        "password": lambda: password(place),
        "database": place.name,
        "timeout": CONNECT_LIMIT_S,
        "server_settings": {
            "application_name": name,
            "jit": "off",  # its start costs more than any short statement
            "statement_timeout": STATEMENT_LIMIT,
            "idle_in_transaction_session_timeout": IDLE_LIMIT,
        },
    }


async def connect(
    place: DatabasePlace, endpoint: Endpoint, *, name: str
) -> asyncpg.Connection[Any]:
    """Open one connection to `endpoint` within `CONNECT_LIMIT_S`."""
    connection = await asyncpg.connect(**arguments(place, endpoint, name=name))
    await notice_silence(connection)
    return connection


async def raw_pool(place: DatabasePlace, endpoint: Endpoint, *, name: str) -> asyncpg.Pool[Any]:
    """Make a pool of raw connections; connects to nothing yet."""
    return await asyncpg.create_pool(
        **arguments(place, endpoint, name=name),
        min_size=0,
        max_size=RAW_POOL_MAX,
        init=notice_silence,
        reset=leave_transaction,
    )


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


def engine(place: DatabasePlace, endpoint: Endpoint, *, name: str) -> AsyncEngine:
    """Make an engine with a pool of `place.pool_size` connections; connects to nothing yet."""

    async def opened(**_: object) -> asyncpg.Connection[Any]:
        return await connect(place, endpoint, name=name)

    made = create_async_engine(
        URL,
        async_creator=opened,
        pool_size=place.pool_size,
        max_overflow=0,
        pool_timeout=CHECKOUT_LIMIT_S,
        pool_use_lifo=True,  # few warm connections rather than many cold ones
    )
    event.listen(made.sync_engine, "connect", _watch_notices)
    return made


class Transaction:
    """One transaction of a connection, which SQLAlchemy's adapter commits or rolls back.

    Its BEGIN is sent at once: a dead connection is met there, where nothing is lost, without the
    round trip of a ping. COMMIT cannot be cancelled half-way, and its answer is read: the server
    answers ROLLBACK to the COMMIT of a transaction in which a statement failed.
    """

    __slots__ = (
        "_adapter",
        "_begin_sql",
        "_notices",
        "_raw",
        "cancelled",
        "leaving",
        "outcome",
        "read_only",
    )

    def __init__(self, connection: Connection, *, begin_sql: str, read_only: bool) -> None:
        pooled = connection.connection
        self._adapter = cast("Adapter", pooled.dbapi_connection)
        self._raw = self._adapter._connection  # noqa: SLF001  # the seam
        self._notices: Notices = pooled.info[Notices]
        self._begin_sql = begin_sql
        self.read_only = read_only
        self.outcome = Outcome.OPEN
        self.leaving = False
        self.cancelled = False

    def begin(self) -> None:
        """Send BEGIN. In a greenlet."""
        await_only(self._raw.execute(self._begin_sql, timeout=BEGIN_LIMIT_S))
        self.outcome = Outcome.OPEN
        self._adapter._transaction = self  # noqa: SLF001  # the seam

    def end(self) -> None:
        """Commit when SQLAlchemy did not, because no statement was sent. In a greenlet."""
        if self._adapter._transaction is self:  # noqa: SLF001  # the seam
            self._adapter.commit()

    def abandon(self) -> None:
        """Roll back when SQLAlchemy did not. In a greenlet."""
        if self._adapter._transaction is self:  # noqa: SLF001  # the seam
            self._adapter.rollback()
        if self.outcome is Outcome.OPEN:
            self.outcome = Outcome.ROLLED_BACK

    @property
    def lost(self) -> bool:
        """Whether the connection is gone."""
        return self._raw.is_closed()

    @property
    def usable(self) -> bool:
        """Whether the connection can serve another transaction."""
        return (
            self.outcome in (Outcome.COMMITTED, Outcome.ROLLED_BACK)
            and not self._raw.is_closed()
            and not self._raw.is_in_transaction()
        )

    async def start(self) -> None:
        """Do nothing: `begin` was called before the adapter saw this transaction."""

    async def commit(self) -> None:
        """Send COMMIT and learn its outcome, even when the caller is cancelled meanwhile."""
        if not self.leaving:
            await self.rollback()
            raise SdkError(
                cannot="commit in the middle of a block",
                because="db.write commits at its end, with what else belongs to the transaction",
                try_="two blocks, one after the other, each with its own `async with`",
            )
        self.outcome = Outcome.UNKNOWN
        self._notices.unreplicated = False
        tag = await self._sent_commit()
        if self._notices.unreplicated:
            raise asyncpg.PostgresConnectionError("the wait for the replica was cancelled")
        if tag != "COMMIT":
            self.outcome = Outcome.ROLLED_BACK
            raise SdkError(
                cannot="commit",
                because="a statement of this block failed and its error was swallowed, "
                "so that the server rolled everything back",
                try_="let the error leave the block, or put the statement in s.begin_nested()",
            )
        self.outcome = Outcome.COMMITTED

    async def rollback(self) -> None:
        """Send ROLLBACK; the server does the same when the connection is gone."""
        if self.outcome is Outcome.OPEN:
            self.outcome = Outcome.ROLLED_BACK
        if not self._raw.is_closed():
            await self._raw.execute("ROLLBACK", timeout=ROLLBACK_LIMIT_S)

    async def _sent_commit(self) -> str:
        """Send COMMIT in a task of its own, which a cancelled caller waits for all the same."""
        sent = asyncio.ensure_future(self._raw.execute("COMMIT", timeout=COMMIT_LIMIT_S))
        try:
            while True:
                try:
                    return await asyncio.shield(sent)
                except asyncio.CancelledError:
                    if sent.done():
                        raise
                    self.cancelled = True
        except asyncpg.PostgresError as error:
            if error.severity_en == "ERROR" and error.sqlstate != CANCELLED:
                self.outcome = Outcome.ROLLED_BACK
            raise


class Notices:
    """What a server said beside its answers on one connection."""

    __slots__ = ("unreplicated",)

    def __init__(self) -> None:
        self.unreplicated = False

    def heard(self, _: object, message: object) -> None:
        """Remember that a commit was answered before a replica had it."""
        if getattr(message, "server_source_function", "") == SYNC_WAIT:
            self.unreplicated = True


class Dialect(PGDialect_asyncpg):
    """SQLAlchemy's dialect for asyncpg, whose half-made connections are closed, not forgotten."""

    supports_statement_cache = True

    def on_connect(self) -> Callable[[Any], None]:
        """Answer what prepares a new connection, and closes it when that is interrupted."""
        prepare = super().on_connect()

        def prepared(adapter: Any) -> None:
            try:
                prepare(adapter)
            except BaseException:
                adapter._connection.terminate()  # noqa: SLF001  # the seam
                raise

        return prepared


registry.register("postgresql.millions", __name__, "Dialect")


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
