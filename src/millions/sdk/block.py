"""`async with db.write(key)`: begin, hand out a session, commit or roll back, tell who must know.

One block is one transaction. It never repeats the caller's code; `Database.run` does.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, NoReturn

from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.util import greenlet_spawn

from millions.errors import CommitUnknownError
from millions.sdk.retry import Patience, words
from millions.sdk.route import Behind, Next
from millions.sdk.session import CommitWatcher, NotCommitted, Session, call_all
from millions.sdk.transaction import Outcome, Transaction

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from sqlalchemy import Connection

    from millions.sdk.member import Member
    from millions.sdk.route import Route
    from millions.sdk.sharding import AnyKey


class Block:
    """The context manager that `db.write` and `db.read` return; used once."""

    __slots__ = (
        "_again",
        "_connection",
        "_hold_s",
        "_key",
        "_member",
        "_names",
        "_prepared",
        "_read_only",
        "_route",
        "_session",
        "_shard",
        "_transaction",
        "_watchers",
    )

    _connection: Connection
    _session: Session
    _transaction: Transaction

    def __init__(
        self,
        route: Route,
        key: AnyKey,
        *,
        shard: str,
        read_only: bool,
        watchers: tuple[CommitWatcher, ...],
        hold_s: float,
        again: Callable[[], Block] | None = None,
    ) -> None:
        self._again = again
        self._route = route
        self._key = key
        self._shard = shard
        self._read_only = read_only
        self._watchers = watchers
        self._hold_s = hold_s
        self._member: Member | None = None
        self._names: frozenset[str] = frozenset()
        self._prepared: list[CommitWatcher] = []

    @property
    def lost(self) -> bool:
        """Whether the block's connection is gone."""
        transaction: Transaction | None = getattr(self, "_transaction", None)
        return transaction is not None and transaction.lost

    @property
    def outcome(self) -> Outcome:
        """How the transaction ended; OPEN before it began."""
        transaction: Transaction | None = getattr(self, "_transaction", None)
        return Outcome.OPEN if transaction is None else transaction.outcome

    async def __aenter__(self) -> Session:
        """Begin; hold while no server is there. Raise UnavailableError when it stays so."""
        try:
            return await self._held()
        except BaseException:
            self._stand_up()
            raise

    async def _held(self) -> Session:
        """Begin, again and again while there is no server to begin on."""
        patience: Patience | None = None
        began_at_s = time.monotonic()
        while True:
            member: Member | None = None
            try:
                member = self._route.choose()
                if member is not self._member:
                    await self._sit(member)
                await greenlet_spawn(self._begin, member)
            except Exception as error:
                verdict = self._route.failed(member, error)
                if verdict is Next.RAISE:
                    raise
                if verdict is Next.AT_ONCE:
                    continue
                if patience is None:
                    patience = Patience(
                        doing=f"begin a transaction on {self._shard}",
                        limit_s=self._hold_s,
                        began_at_s=began_at_s,
                    )
                await patience.pause(error, self._route.change)
            else:
                return self._session

    async def _sit(self, member: Member) -> None:
        """Take a seat; leave it again if transactions wait by now, as it may have taken a while."""
        self._stand_up()
        await member.seats.take()
        self._member = member
        try:
            self._route.check(member)
        except ConnectionError:
            self._stand_up()
            raise

    def _stand_up(self) -> None:
        """Give the seat back, if one was taken."""
        member, self._member = self._member, None
        if member is not None:
            member.seats.give()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Commit when `error` is None, else roll back; then call the hooks of the outcome."""
        try:
            await self._leave(error)
        finally:
            self._stand_up()

    async def _leave(self, error: BaseException | None) -> None:
        if error is not None:
            await self._undo()
            if self._transaction.lost:
                self._route.lost(self._member)
            return
        try:
            await self._finish()
        except BaseException as failure:  # noqa: BLE001  # the outcome decides what it means
            if self._transaction.outcome is not Outcome.COMMITTED:
                if self._transaction.lost:
                    self._route.lost(self._member)
                await self._prove()
            if self._transaction.outcome is not Outcome.COMMITTED:
                await self._failed(failure)
            self._transaction.cancelled |= isinstance(failure, asyncio.CancelledError)
        self._tell_done()
        if self._transaction.cancelled:
            raise asyncio.CancelledError

    async def _prove(self) -> None:
        """Learn the outcome of a COMMIT that nobody answered, where the session knows how."""
        proof = self._session.proof
        unknown = self._transaction.outcome is Outcome.UNKNOWN
        if proof is None or self._again is None or self._transaction.cancelled or not unknown:
            return
        await self._undo_quietly()
        self._stand_up()
        try:
            async with self._again() as session:
                await proof(session)
        except NotCommitted:
            self._transaction.outcome = Outcome.ROLLED_BACK
        except Exception:  # noqa: BLE001  # then it stays unknown, and is said to be
            return
        else:
            self._transaction.outcome = Outcome.COMMITTED

    def _begin(self, member: Member) -> None:
        connection = member.engine.sync_engine.connect()
        route = self._route
        try:
            transaction = Transaction(
                connection,
                begin_sql=route.begin_sql,
                read_only=self._read_only,
                track=route.track_on(member),
                begin_limit_s=route.begin_limit_s,
            )
            transaction.begin()
            if self._read_only and transaction.behind():
                transaction.abandon()
                raise Behind  # the connection is closed below, and stays usable
        except Behind:
            connection.close()
            raise
        except BaseException:
            connection.invalidate()
            connection.close()
            raise
        self._connection, self._transaction = connection, transaction
        self._session = Session(
            AsyncConnection(member.engine, connection),
            key=self._key,
            shard=self._shard,
            transaction=transaction,
        )

    async def _finish(self) -> None:
        session = self._session
        if session.before or (session.names and self._watchers):
            await self._prepare()
        if not self._read_only:
            await greenlet_spawn(self._commit)
            return
        inner = session.sync_session
        if inner.new or inner.dirty or inner.deleted:
            await session.flush()  # refuses, rather than forgetting what was changed
        await self._undo_quietly()

    async def _prepare(self) -> None:
        """Let the hooks do their part inside the transaction; they may add more hooks."""
        session = self._session
        await session.flush()
        await self._run_hooks()
        if session.names:
            self._names = frozenset(session.names)
            for watcher in self._watchers:
                self._prepared.append(watcher)
                await watcher.prepare(session, self._names)
            await self._run_hooks()  # of who wrote first

    async def _run_hooks(self) -> None:
        while self._session.before:
            await self._session.before.pop(0)(self._session)

    def _commit(self) -> None:
        self._transaction.leaving = True
        inner = self._session.sync_session
        inner.commit()
        self._transaction.end()
        inner.close()
        self._give_back()

    def _give_back(self) -> None:
        """Give the connection back, or drop it when its state is not certain."""
        if not self._transaction.usable:
            self._connection.invalidate()
        self._connection.close()

    def _roll_back(self) -> None:
        try:
            self._session.sync_session.close()
            self._transaction.abandon()
        finally:
            self._give_back()

    async def _undo(self) -> None:
        """Roll back, then say so."""
        try:
            await self._undo_quietly()
        finally:
            self._tell_undone()

    async def _undo_quietly(self) -> None:
        """Roll back; when that fails or is cancelled, the connection is dropped instead."""
        with suppress(Exception):  # the server rolls back what has no connection
            await greenlet_spawn(self._roll_back)

    async def _failed(self, failure: BaseException) -> NoReturn:
        await self._undo()
        if self._transaction.cancelled:
            raise asyncio.CancelledError from failure
        if self._transaction.outcome is Outcome.UNKNOWN and isinstance(failure, Exception):
            raise CommitUnknownError(
                cannot="say whether the transaction was committed",
                because=f"the connection broke while COMMIT was under way: {words(failure)}",
                try_="read what it would have written, then decide; or write with an id of your "
                "own, so that repeating is harmless",
            ) from failure
        raise failure

    def _tell_done(self) -> None:
        told = [partial(each.committed, self._names) for each in self._prepared]
        call_all([*told, *self._session.after])

    def _tell_undone(self) -> None:
        unknown = self._transaction.outcome is Outcome.UNKNOWN
        told = [partial(each.aborted, self._names, unknown=unknown) for each in self._prepared]
        call_all([*told, *self._session.undone])
