"""Writes tasks into the database: in the caller's transaction, or in one of its own.

It never runs a task. Tasks that are enqueued without a session at the same time are written
together, in one transaction, and each caller waits for its commit.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import asyncpg

from millions.errors import CommitUnknownError, TaskError
from millions.sdk.requests import request_id
from millions.sdk.retry import DRIVER_ERRORS, Fate, Patience, fate
from millions.sdk.tasks import statements
from millions.sdk.tasks.inside import execute

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from millions.sdk.database import Database
    from millions.sdk.session import Session
    from millions.sdk.tasks.task import Bounds
    from millions.sdk.tasks.wake import Wake

KEY_KEPT_S = 7 * 86_400.0
"""How long a key is remembered after its task was due: longer than a client repeats a request."""

KEY_MAX = 200
DELAY_MAX_S = 10 * 365 * 86_400.0
BATCH_MAX = 1000
"""So many tasks are written by one statement; more callers wait for the next one."""

STATEMENT_LIMIT_S = 30.0


@dataclass(frozen=True, slots=True)
class Row:
    """One task to write. Fields in the order of `statements.ENQUEUE`."""

    name: str
    queue: str
    priority: int
    request_id: str | None
    arguments: str
    at: datetime | None
    delay_s: float

    @property
    def waits(self) -> bool:
        """Whether it may be due later than now."""
        return self.at is not None or self.delay_s > 0

    def values(self) -> tuple[Any, ...]:
        """The parameters of a statement for this row alone."""
        return (
            self.name,
            self.queue,
            self.priority,
            self.request_id,
            self.arguments,
            self.at,
            self.delay_s,
        )


class Outbox:
    """Where `enqueue` ends up."""

    def __init__(self, db: Database, wake: Wake) -> None:
        self._db = db
        self._wake = wake
        self._pending: list[tuple[Row, asyncio.Future[int]]] = []
        self._writing: asyncio.Task[None] | None = None

    async def put_one(
        self,
        bounds: Bounds,
        arguments: str,
        *,
        session: Session | None,
        delay_s: float,
        at: datetime | None,
        key: str | None,
    ) -> int:
        """Write one task; answer its number, or that of the task that has `key` already."""
        _check_moment(bounds, delay_s, at)
        row = _row(bounds, arguments, at, delay_s)
        if key is not None:
            return await self._put_keyed(row, key, session)
        if session is not None:
            return (await self._put_in(session, [row]))[0]
        return await self._put_soon(row)

    async def put_many(
        self, bounds: Bounds, arguments: Sequence[str], *, session: Session | None
    ) -> list[int]:
        """Write many tasks of one kind at once; answer their numbers in order."""
        rows = [_row(bounds, each, None, 0.0) for each in arguments]
        if not rows:
            return []
        if session is not None:
            return await self._put_in(session, rows)
        numbers = await self._write(statements.ENQUEUE, *_columns(rows))
        self._announce(rows)
        return [number for (number,) in numbers]

    async def close(self) -> None:
        """Write what waits, as far as the database answers."""
        if self._writing is not None:
            await self._writing

    async def _put_in(self, session: Session, rows: list[Row]) -> list[int]:
        numbers = await execute(session, statements.ENQUEUE, _columns(rows))
        session.after_commit(lambda: self._announce(rows))
        return numbers

    async def _put_keyed(self, row: Row, key: str, session: Session | None) -> int:
        if not 0 < len(key) <= KEY_MAX or "\0" in key:
            raise TaskError(
                cannot=f"enqueue task {row.name} with this key",
                because=f"it has {len(key)} characters: {key!r:.40}",
                try_=f"a key of 1 to {KEY_MAX} characters",
            )
        values = (*row.values(), key, KEY_KEPT_S)
        known = (row.name, key)
        if session is not None:
            written = await execute(session, statements.ENQUEUE_KEYED, values)
            if not written:
                return (await execute(session, statements.KNOWN_KEY, known))[0]
            session.after_commit(lambda: self._announce([row]))
            return written[0]
        fresh = await self._write(statements.ENQUEUE_KEYED, *values)
        if not fresh:
            fresh = await self._write(statements.KNOWN_KEY, *known)
        else:
            self._announce([row])
        return int(fresh[0][0])

    async def _put_soon(self, row: Row) -> int:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[int] = loop.create_future()
        self._pending.append((row, future))
        if self._writing is None or self._writing.done():
            self._writing = loop.create_task(self._write_pending())
        return await future

    async def _write_pending(self) -> None:
        while self._pending:
            batch, self._pending = self._pending[:BATCH_MAX], self._pending[BATCH_MAX:]
            rows = [row for row, _ in batch]
            try:
                numbers = await self._write(statements.ENQUEUE, *_columns(rows))
            except Exception as error:  # noqa: BLE001  # each caller gets it
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)
                continue
            self._announce(rows)
            for (_, future), (number,) in zip(batch, numbers, strict=True):
                if not future.done():
                    future.set_result(number)

    async def _write(self, statement: str, *values: Any) -> list[Any]:
        """Run one statement in a transaction of its own. Waits, bounded, for a server that is away.

        Raise UnavailableError when it stays away, CommitUnknownError when it went meanwhile.
        """
        patience = Patience(doing="enqueue a task")
        while True:
            try:
                await self._db.settled()
                async with asyncio.timeout(STATEMENT_LIMIT_S):
                    connection = await self._db.pool().acquire()
            except (*DRIVER_ERRORS, TimeoutError) as error:
                await patience.pause(error)
                continue
            try:
                return await connection.fetch(statement, *values, timeout=STATEMENT_LIMIT_S)
            except asyncpg.InternalClientError as error:
                await patience.pause(error)  # the connection ended before this was sent on it
            except DRIVER_ERRORS as error:
                if fate(error) is not Fate.LOST:
                    raise
                raise CommitUnknownError(
                    cannot="tell whether the task was enqueued",
                    because=f"the connection broke meanwhile: {error}",
                    try_="enqueue with key=…: then it can be repeated, and has one effect",
                ) from error
            finally:
                await self._db.pool().release(connection)

    def _announce(self, rows: list[Row]) -> None:
        counts: dict[str, int] = {}
        for row in rows:
            if not row.waits:
                counts[row.queue] = counts.get(row.queue, 0) + 1
        for queue, count in counts.items():
            self._wake.announce(queue, count)


def _row(bounds: Bounds, arguments: str, at: datetime | None, delay_s: float) -> Row:
    return Row(
        bounds.name, bounds.queue, bounds.priority, request_id(), arguments, at, float(delay_s)
    )


def _columns(rows: list[Row]) -> list[list[Any]]:
    return [list(column) for column in zip(*(row.values() for row in rows), strict=True)]


def _check_moment(bounds: Bounds, delay_s: float, at: datetime | None) -> None:
    if at is not None and at.tzinfo is None:
        raise TaskError(
            cannot=f"enqueue task {bounds.name} at {at.isoformat()}",
            because="the time has no time zone",
            try_="datetime.now(UTC) + timedelta(…)",
        )
    if not 0 <= delay_s <= DELAY_MAX_S:
        raise TaskError(
            cannot=f"enqueue task {bounds.name}",
            because=f"delay_s is {delay_s!r}",
            try_=f"0 to {DELAY_MAX_S:g} seconds",
        )
