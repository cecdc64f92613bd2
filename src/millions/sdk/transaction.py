"""One transaction of a connection, whose outcome is known or said to be unknown.

It stands where SQLAlchemy's asyncpg adapter keeps its own transaction, and never retries.
Source: SQLAlchemy `dialects/postgresql/asyncpg.py`; PostgreSQL `replication/syncrep.c`.
"""

from __future__ import annotations

import asyncio
import time
from enum import Enum
from typing import TYPE_CHECKING, Any, cast

import asyncpg
from sqlalchemy.util import await_only

from millions.errors import SdkError
from millions.sdk.notices import Notices
from millions.sdk.retry import CANCELLED, ROLLBACK_LIMIT_S
from millions.sdk.track import checked

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from millions.sdk.track import Track

BEGIN_LIMIT_S = 5.0
"""BEGIN does nothing: a server that does not answer it in this time is not there."""

COMMIT_LIMIT_S = 30.0
"""A commit may wait for a disk or a replica, but not for ever; after this it is unknown."""


class Outcome(Enum):
    """How a transaction ended."""

    OPEN = "open"
    COMMITTED = "committed"
    ROLLED_BACK = "rolled back"
    UNKNOWN = "unknown"


class Transaction:
    """One transaction of a connection, which SQLAlchemy's adapter commits or rolls back.

    Its BEGIN is sent at once: a dead connection is met there, where nothing is lost, without the
    round trip of a ping. COMMIT cannot be cancelled half-way, and its answer is read: the server
    answers ROLLBACK to the COMMIT of a transaction in which a statement failed.
    """

    __slots__ = (
        "_adapter",
        "_begin_limit_s",
        "_begin_sql",
        "_checked",
        "_notices",
        "_raw",
        "_sent_at_s",
        "cancelled",
        "leaving",
        "outcome",
        "read_only",
        "track",
    )

    def __init__(
        self,
        connection: Connection,
        *,
        begin_sql: str,
        read_only: bool,
        track: Track | None = None,
        begin_limit_s: float = BEGIN_LIMIT_S,
    ) -> None:
        pooled = connection.connection
        self._adapter = cast("Any", pooled.dbapi_connection)
        self._raw: asyncpg.Connection[Any] = self._adapter._connection  # noqa: SLF001  # the seam
        self._notices: Notices = pooled.info[Notices]
        self._begin_sql = begin_sql
        self._begin_limit_s = begin_limit_s
        self.read_only = read_only
        self.track = track
        """Where shards have replicas: who wants to know how far this transaction has seen."""

        self.outcome = Outcome.OPEN
        self.leaving = False
        self.cancelled = False
        self._checked = False
        self._sent_at_s = 0.0

    def begin(self) -> None:
        """Send BEGIN. In a greenlet."""
        begin_sql, track = self._begin_sql, self.track
        if track is not None and self.read_only:
            self._checked = not track.is_certain(self._notices.opened_at_s)
            if self._checked:
                begin_sql = checked(begin_sql)
        self._sent_at_s = time.monotonic()
        try:
            if track is not None and not self._notices.prepared:
                await_only(self._raw.execute(track.prepare, timeout=self._begin_limit_s))
                self._notices.prepared = True
            await_only(self._raw.execute(begin_sql, timeout=self._begin_limit_s))
        except TimeoutError:
            self._raw.terminate()  # a server that is frozen would not hear a farewell
            raise
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

    def behind(self) -> bool:
        """Whether the server does not show all that the user has seen. After `begin`."""
        track = self.track
        return self._checked and track is not None and not track.begun(self._raw, self._sent_at_s)

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
        if self.track is not None:
            await self.track.roll_back(self._raw)
        elif not self._raw.is_closed():
            await self._raw.execute("ROLLBACK", timeout=ROLLBACK_LIMIT_S)

    async def _sent_commit(self) -> str:
        """Send COMMIT in a task of its own, which a cancelled caller waits for all the same."""
        sent = asyncio.ensure_future(self._exchanged_commit())
        try:
            while True:
                try:
                    return await asyncio.shield(sent)
                except asyncio.CancelledError:
                    self.cancelled = True
                    if sent.cancelled():
                        raise
        except asyncpg.PostgresError as error:
            if error.severity_en == "ERROR" and error.sqlstate != CANCELLED:
                self.outcome = Outcome.ROLLED_BACK
            raise

    async def _exchanged_commit(self) -> str:
        """Send COMMIT; then learn where it lies in the log, if somebody wants to know."""
        if self.track is None:
            return await self._raw.execute("COMMIT", timeout=COMMIT_LIMIT_S)
        return await self.track.commit(self._raw, within_s=COMMIT_LIMIT_S)
