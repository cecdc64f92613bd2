"""A worker's connection to one database: it claims, acknowledges and proves that it lives.

One connection does all of it, so that the lock which says "this worker lives" is let go of by
PostgreSQL at the moment the process is gone. It decides nothing about tasks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import asyncpg

from millions.sdk.tasks import outcome, statements, tables
from millions.sdk.tasks.claim import Claim

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from millions.sdk.tasks.claim import Outcomes, Settlement

    Connection = asyncpg.Connection[Any]
    Connect = Callable[[], Awaitable[Connection]]

STATEMENT_LIMIT_S = 30.0
CLOSE_LIMIT_S = 2.0

LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # its last words came while nobody asked
    asyncpg.OperatorInterventionError,
    asyncpg.ReadOnlySQLTransactionError,  # the server is a replica now
    OSError,
    TimeoutError,
)
"""The connection is of no use any more. Whether the last statement took effect is not known."""

Line = tuple[str, int, int, int]
"""A queue, a priority, the number of the task from which on to look, and how many at most."""


class Lane:
    """Used by one coroutine, the worker's own."""

    def __init__(self, connect: Connect, name: str) -> None:
        self._connect = connect
        self._name = name
        self._durable = "on"
        self.connection: Connection | None = None
        self.worker = 0
        """This worker's number; 0 before it has one."""

    @property
    def raw(self) -> Connection:
        """The connection. Raise asyncpg.InterfaceError when there is none."""
        if self.connection is None or self.connection.is_closed():
            raise asyncpg.InterfaceError("the worker's connection is closed")
        return self.connection

    async def open(self) -> bool:
        """Connect. Answer True when this worker is still the one that it was before."""
        self.drop()
        self.connection = await self._connect()
        self._durable = await self.raw.fetchval("SHOW synchronous_commit")
        await self.raw.execute(statements.SESSION)
        if self.worker and await self._resume():
            return True
        self.worker = await self.raw.fetchval(statements.NEXT_WORKER)
        await self.raw.execute(statements.TAKE_LOCK, self.worker)
        await self.raw.execute(statements.ENTER, self.worker, self._name)
        return False

    async def _resume(self) -> bool:
        """Take the former lock again, from a connection that hangs if need be."""
        await self.raw.execute(statements.END_HOLDER, self.worker)
        if not await self.raw.fetchval(statements.TAKE_LOCK, self.worker):
            return False
        return await self.beat()

    async def beat(self) -> bool:
        """Renew the lease. False: this worker was declared dead, and others run its tasks."""
        found = await self.raw.fetchval(statements.BEAT, self.worker, timeout=STATEMENT_LIMIT_S)
        return found is not None

    async def restore(self, held: Sequence[int]) -> None:
        """Make ready what this worker holds in the database but not in memory."""
        await self.raw.execute(statements.RESTORE, self.worker, held, timeout=STATEMENT_LIMIT_S)

    async def exchange(self, done: list[int], lines: Sequence[Line], wanted: int) -> list[Claim]:
        """Acknowledge `done` and claim up to `wanted` tasks of `lines`, in one transaction."""
        rows = await self.raw.fetch(
            statements.EXCHANGE,
            self.worker,
            done,
            self._durable if done else "off",
            [queue for queue, _, _, _ in lines],
            [priority for _, priority, _, _ in lines],
            [floor for _, _, floor, _ in lines],
            wanted,
            [min(most, wanted) for _, _, _, most in lines],
            timeout=STATEMENT_LIMIT_S,
        )
        claims = [Claim(*row) for row in rows]
        claims.sort(key=_urgency)
        return claims

    async def tell(self, outcomes: Outcomes) -> None:
        """Write down what failed, what is given back, and what is kept of results."""
        if outcomes.settled:
            await self._settle(outcomes.settled)
        if outcomes.buried:
            await self.raw.execute(
                statements.BURY,
                self.worker,
                [each.id for each in outcomes.buried],
                [each.error for each in outcomes.buried],
                timeout=STATEMENT_LIMIT_S,
            )

        if outcomes.kept:
            kept = tuple(outcomes.kept.values())
            await self.raw.execute(
                outcome.KEEP,
                [each.id for each in kept],
                [each.progress for each in kept],
                [each.words for each in kept],
                [each.result for each in kept],
                [each.keep_s for each in kept],
                timeout=STATEMENT_LIMIT_S,
            )

    async def _settle(self, settled: Sequence[Settlement]) -> None:
        columns = zip(
            *(
                (
                    each.id,
                    tables.READY if each.delay_s is None else tables.WAITING,
                    int(each.uncounted),
                    each.delay_s,
                    each.error,
                    each.unknown,
                )
                for each in settled
            ),
            strict=True,
        )
        await self.raw.execute(
            statements.SETTLE,
            self.worker,
            *(list(column) for column in columns),
            timeout=STATEMENT_LIMIT_S,
        )

    def drop(self) -> None:
        """Cut the connection without a word."""
        connection, self.connection = self.connection, None
        if connection is not None and not connection.is_closed():
            connection.terminate()

    async def close(self) -> None:
        """Sign off and disconnect. A server that is away is not waited for."""
        try:
            if self.worker:
                await self.raw.execute(statements.LEAVE, self.worker, timeout=CLOSE_LIMIT_S)
            await self.raw.close(timeout=CLOSE_LIMIT_S)
        except LOST:
            self.drop()
        self.connection, self.worker = None, 0


def _urgency(claim: Claim) -> tuple[int, int]:
    return (-claim.priority, claim.id)
