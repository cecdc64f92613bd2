"""What a database error means, and how long to go on trying. It never sends anything.

The classes of errors are PostgreSQL's (appendix A of its manual), read from the driver's exception
under whatever SQLAlchemy wrapped around it.
"""

from __future__ import annotations

import asyncio
import random
import time
from enum import Enum
from typing import TYPE_CHECKING

import asyncpg
from sqlalchemy.exc import DBAPIError, PendingRollbackError

from millions.errors import MillionsError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

HOLD_S = 10.0
"""A transaction that has not started is held this long while its server restarts or moves:
a clean restart takes about 1 s, a failover at most 2 s (measured), a person waits 10 s at most."""

FIRST_PAUSE_S = 0.01
LONGEST_PAUSE_S = 0.25
"""Pauses double up to this: a server that is back is found within a quarter of a second."""

ROLLBACK_LIMIT_S = 5.0
"""A server that does not answer ROLLBACK in this time is not there; it rolls back by itself."""

CHAIN_MAX = 8
"""How many causes of an exception are looked through."""

RESTARTING = frozenset({"57P01", "57P02", "57P03", "57P05", "53300"})
"""admin shutdown, crash shutdown, cannot connect now, idle session ended, too many connections"""

DEMOTED = "25006"
"""read-only transaction: on a connection for writing it says that the server is a replica now"""

NOT_PRIMARY = frozenset({DEMOTED, "0A000"})
"""What a server that is a replica answers to BEGIN READ WRITE: "cannot set transaction read-write
mode during recovery" (feature not supported)."""

COLLIDED = frozenset({"40001", "40P01"})
"""serialization failure, deadlock detected: the transaction did nothing and may be repeated"""

CANCELLED = "57014"

DRIVER_ERRORS = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
)


class Fate(Enum):
    """What a failure says about its transaction, as long as COMMIT was not sent."""

    LOST = "the connection is gone"
    COLLIDED = "another transaction was in the way"
    REFUSED = "the statement itself is refused"


def driver_error(error: BaseException) -> BaseException:
    """The exception of the driver or the system under SQLAlchemy's wrapping, or `error` itself."""
    current: BaseException | None = error
    for _ in range(CHAIN_MAX):
        if current is None or isinstance(current, MillionsError):
            break
        if isinstance(current, DRIVER_ERRORS):
            return current
        wrapped = current.orig if isinstance(current, DBAPIError) else None
        current = wrapped or current.__cause__
    return error


def sqlstate(error: BaseException) -> str:
    """PostgreSQL's five letters for the error, or an empty string."""
    return str(getattr(driver_error(error), "sqlstate", None) or "")


def fate(error: BaseException) -> Fate:
    """Tell a lost connection and a collision, which may be repeated, from a refused statement."""
    if isinstance(error, PendingRollbackError) and error.__context__ is not None:
        return fate(error.__context__)
    under = driver_error(error)
    state = sqlstate(under)
    if state in COLLIDED:
        return Fate.COLLIDED
    if state in RESTARTING or state.startswith("08") or isinstance(under, OSError):
        return Fate.LOST
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return Fate.LOST
    if isinstance(under, asyncpg.InternalClientError):
        return Fate.LOST  # the server's last words came while the connection was idle
    closed = isinstance(under, asyncpg.InterfaceError) and "connection is closed" in str(under)
    return Fate.LOST if closed else Fate.REFUSED


class Patience:
    """A bounded number of seconds to hold, and growing pauses with jitter inside it."""

    __slots__ = ("_began_at_s", "_doing", "_limit_s", "_pause_s")

    def __init__(
        self, *, doing: str, limit_s: float = HOLD_S, began_at_s: float | None = None
    ) -> None:
        self._doing = doing
        self._limit_s = limit_s
        self._began_at_s = time.monotonic() if began_at_s is None else began_at_s
        self._pause_s = FIRST_PAUSE_S

    async def pause(
        self,
        error: BaseException,
        wait: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Wait before the next attempt. Raise UnavailableError from `error` when time is up.

        `wait` waits the given seconds, or less when it knows better.
        """
        waited_s = time.monotonic() - self._began_at_s
        if waited_s >= self._limit_s:
            raise UnavailableError(
                cannot=self._doing,
                because=f"no answer for {waited_s:.1f} s; last: {words(error)}",
                try_="millions status",
            ) from error
        await wait(self._pause_s * random.uniform(0.5, 1.0))  # noqa: S311  # jitter
        self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)


def words(error: BaseException) -> str:
    """Name the driver's error and what it says, which may be nothing."""
    under = driver_error(error)
    return f"{type(under).__name__}: {under}" if str(under) else type(under).__name__
