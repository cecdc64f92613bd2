"""Rows: runs one statement of the store, in a transaction of its own or in the caller's.

It repeats what may be repeated while the server restarts or moves, within a bound, and says
"unknown" where repeating could take effect twice. It knows no table.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Protocol, cast

import asyncpg

from millions.errors import CommitUnknownError, SdkError, UnavailableError
from millions.sdk.retry import DRIVER_ERRORS, RESTARTING, Fate, Patience, fate, sqlstate

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from sqlalchemy import Connection

    from millions.sdk.session import Session

STATEMENT_LIMIT_S = 15.0
CHECKOUT_LIMIT_S = 10.0


class PoolSource(Protocol):
    """Where raw connections come from: the database."""

    def pool(self) -> asyncpg.Pool[Any]:
        """Return the raw connections."""
        ...

    async def settled(self) -> None:
        """Wait a moment while the server is about to change."""
        ...


class Rows:
    """Runs statements. `harmless` ones may be sent again when nobody knows if they took effect."""

    def __init__(self, database: PoolSource) -> None:
        self._database = database

    async def run(
        self, sql: str, *arguments: Any, session: Session | None = None, harmless: bool = True
    ) -> Sequence[asyncpg.Record]:
        """Return the rows of one statement.

        Raise UnavailableError when the database does not come back in time, CommitUnknownError
        when a statement that is not `harmless` was cut off, SdkError when a counter overflows.
        """
        try:
            if session is not None:
                return await raw_connection(session).fetch(sql, *arguments)
            return await self._run_alone(sql, arguments, harmless=harmless)
        except asyncpg.NumericValueOutOfRangeError as error:
            raise SdkError(
                cannot="count that far", because=str(error), try_="a smaller step"
            ) from error

    async def _run_alone(
        self, sql: str, arguments: tuple[Any, ...], *, harmless: bool
    ) -> Sequence[asyncpg.Record]:
        patience: Patience | None = None
        while True:
            sent = False
            try:
                await self._database.settled()
                async with self._database.pool().acquire(timeout=CHECKOUT_LIMIT_S) as connection:
                    sent = True
                    return await connection.fetch(sql, *arguments, timeout=STATEMENT_LIMIT_S)
            except DRIVER_ERRORS as error:
                if sent and not harmless and not _did_nothing(error):
                    raise _unknown(error) from error
                if isinstance(error, TimeoutError):
                    raise _too_slow(sent=sent) from error
                if fate(error) is Fate.REFUSED:
                    raise
                patience = patience or Patience(doing="reach the store")
                await patience.pause(error)


def raw_connection(session: Session) -> asyncpg.Connection[Any]:
    """The driver's connection of `session`, whose transaction has begun.

    The session learns that something is done in it: who waits for that is told.
    """
    if not session.sync_session.in_transaction():
        session.sync_session.begin()
    connection = cast("Connection", session.sync_session.bind)
    return cast("asyncpg.Connection[Any]", connection.connection.driver_connection)


@asynccontextmanager
async def alone(connection: Any, lock: int) -> AsyncGenerator[bool]:
    """Hold the advisory lock for the block, or say that somebody else does.

    A connection that may have got it without our knowing is ended: it would keep it in the pool.
    """
    try:
        got = bool(await connection.fetchval("SELECT pg_try_advisory_lock($1)", lock))
    except BaseException:
        connection.terminate()
        raise
    try:
        yield got
    finally:
        if got:
            await _let_go(connection, lock)


async def _let_go(connection: Any, lock: int) -> None:
    try:
        await connection.fetchval("SELECT pg_advisory_unlock($1)", lock)
    except BaseException:
        connection.terminate()
        raise


def _did_nothing(error: BaseException) -> bool:
    """Whether it is certain that the statement had no effect: refused, or never sent.

    A server that shuts down may have committed before it said so.
    """
    if isinstance(error, asyncpg.PostgresError):
        state = sqlstate(error)
        return bool(state) and state not in RESTARTING and not state.startswith("08")
    if isinstance(error, asyncpg.InternalClientError):
        return True
    return isinstance(error, asyncpg.InterfaceError) and "connection is closed" in str(error)


def _unknown(error: BaseException) -> CommitUnknownError:
    return CommitUnknownError(
        cannot="say whether the store was changed",
        because=f"the connection broke before it answered: {error or type(error).__name__}",
        try_="read it, then decide",
    )


def _too_slow(*, sent: bool) -> UnavailableError:
    because = (
        f"no answer within {STATEMENT_LIMIT_S:.0f} s"
        if sent
        else f"all raw connections were in use for {CHECKOUT_LIMIT_S:.0f} s"
    )
    return UnavailableError(cannot="use the store", because=because, try_="millions status")
