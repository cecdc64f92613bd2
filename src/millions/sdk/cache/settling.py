"""Settling: takes rows out of the ledger once every server has done what they say.

Rows that somebody left behind (who committed is dead, a server was away) are swept now and then by
every process. It decides nothing about what may be used.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any, Protocol

from millions.sdk.cache.ledger import AWAY, SWEPT_AFTER_S
from millions.sdk.log import log

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from uuid import UUID

    from millions.sdk.cache.ledger import Ledger, Row
    from millions.sdk.cache.server import Server

    Acknowledged = asyncio.Future[Any]

SETTLE_EVERY_S = 0.2
"""Rows are deleted together: one statement for all commits of this time."""

SWEEP_EVERY_S = 2.0
"""What was left behind is looked for this often by each process, spread by chance."""

UNSETTLED_MAX = 10_000
"""More than these are left to the sweep."""


class All(Protocol):
    """Whoever knows the servers."""

    @property
    def all(self) -> Collection[Server]:
        """Every server."""
        ...


class Settling:
    """What servers have acknowledged, and the ledger does not know of yet."""

    def __init__(self, ledger: Ledger, servers: All) -> None:
        self._ledger = ledger
        self._servers = servers
        self._done: dict[frozenset[str], list[UUID]] = {}
        self._task: asyncio.Task[None] | None = None
        self._sweep_at_s = 0.0

    def open(self) -> None:
        """Begin, in the background; called again is harmless."""
        if self._task is None:
            self._sweep_at_s = asyncio.get_running_loop().time() + _spread(SWEEP_EVERY_S)
            self._task = asyncio.create_task(self._run(), name="cache settling")

    async def close(self) -> None:
        """Stop; what is not settled is left to others."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await self._settle()

    def watch(self, invalidation: UUID, told: Mapping[str, Acknowledged | None]) -> None:
        """Settle `invalidation` when all that were told have acknowledged it."""
        names = frozenset(told)
        waiting = len(told)

        def answered(done: Acknowledged) -> None:
            nonlocal waiting
            if not done.cancelled() and done.exception() is None:
                waiting -= 1
                if not waiting:
                    self.settled(names, invalidation)

        if None not in told.values():
            for each in told.values():
                assert each is not None  # noqa: S101  # looked at above
                each.add_done_callback(answered)

    def settled(self, servers: frozenset[str], *ids: UUID) -> None:
        """These servers have done these invalidations."""
        if sum(map(len, self._done.values())) < UNSETTLED_MAX:
            self._done.setdefault(servers, []).extend(ids)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(SETTLE_EVERY_S)
            await self._settle()
            if loop.time() >= self._sweep_at_s:
                self._sweep_at_s = loop.time() + _spread(SWEEP_EVERY_S)
                await self._sweep()

    async def _settle(self) -> None:
        done, self._done = self._done, {}
        try:
            for servers, ids in done.items():
                await self._ledger.done(ids, sorted(servers))
        except AWAY as error:
            log.debug("cache ledger not settled", because=str(error))  # the sweep does it later

    async def _sweep(self) -> None:
        try:
            rows = await self._ledger.rows(older_s=SWEPT_AFTER_S)
            if rows:
                acknowledged = [s.name for s in self._servers.all if await _told(s, rows)]
                ids = [row.id for row in rows]
                await self._ledger.done(ids, acknowledged)
                await self._ledger.replace(ids, acknowledged)
        except AWAY as error:
            log.debug("cache ledger not swept", because=str(error))


async def _told(server: Server, rows: Sequence[Row]) -> bool:
    """Whether `server` has done all of `rows`."""
    asked = server.forget_rows(rows)
    if None in asked:
        return False
    answers = await asyncio.gather(*(e for e in asked if e is not None), return_exceptions=True)
    return not any(isinstance(each, BaseException) for each in answers)


def _spread(seconds: float) -> float:
    return seconds * random.uniform(0.75, 1.25)  # noqa: S311  # no secret
