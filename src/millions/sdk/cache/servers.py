"""The cache servers of the stack: followed as the directory names them, and told what is stale.

Every invalidation goes to all of them, so that any may stand in for another. One is used only
while this process hears of others' commits, and after it has forgotten what it may have missed.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from millions.sdk.cache.ledger import ROWS_MAX
from millions.sdk.cache.ring import Ring
from millions.sdk.cache.server import Server
from millions.sdk.cache.settling import Settling

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from uuid import UUID

    from millions.directory import CachePlace
    from millions.sdk.cache.ledger import Ledger, Row
    from millions.sdk.valkey import Wire

FIRST_LOOK_S = 1.0
"""Who opens the cache waits this long for servers that do not answer."""


class Servers:
    """The servers. `hearing` says whether this process hears of what others commit."""

    def __init__(self, ledger: Ledger, secret: bytes, *, hearing: Callable[[], bool]) -> None:
        self._ledger = ledger
        self._secret = secret
        self._hearing = hearing
        self._all: dict[str, Server] = {}
        self._ring = Ring(())
        self._epoch = 0
        self._settling = Settling(ledger, self)

    @property
    def all(self) -> Collection[Server]:
        """Those that the directory names."""
        return self._all.values()

    async def follow(self, place: CachePlace, epoch: int) -> None:
        """Use the servers of `place` from now on. Raise the driver's error, and try again."""
        wanted = {f"{each.host}:{each.port}": each for each in place.servers}
        if not wanted and not self._all:
            await self._ledger.register(self._secret, epoch, ())
            return
        await self._ledger.register(self._secret, epoch, list(wanted))
        self._epoch = epoch
        gone = [self._all.pop(name) for name in set(self._all) - set(wanted)]
        for name in set(wanted) - set(self._all):
            self._all[name] = Server(wanted[name], place.password_file, self)
            self._all[name].link.open()
        self._ring = Ring(wanted)
        self._settling.open()
        await asyncio.gather(*(server.link.close() for server in gone))

    async def first_look(self) -> None:
        """Wait until each has answered or failed once, for a bounded time."""
        looks = [server.link.tried.wait() for server in self.all]
        try:
            async with asyncio.timeout(FIRST_LOOK_S):
                await asyncio.gather(*looks)
        except TimeoutError:
            return

    async def close(self) -> None:
        """Settle what is settled, and end every connection."""
        await self._settling.close()
        servers, self._all = list(self._all.values()), {}
        self._ring = Ring(())
        await asyncio.gather(*(server.link.close() for server in servers))

    def wire(self, key: str) -> Wire | None:
        """The connection to the server that keeps `key`, or who stands in for it; None: do without.

        In a process that may not use them none is connected.
        """
        for name in self._ring.order(key):
            wire = self._all[name].link.wire
            if wire is not None:
                return wire
        return None

    def forget(
        self, names: Collection[str], invalidation: UUID | None = None, *, settle: bool = False
    ) -> None:
        """Have every server forget `names`, before any read of this process that follows.

        `invalidation` is that of their commit, if it is known to have happened. With `settle` the
        ledger is told when all have done it.
        """
        if not self._all or not names:
            return
        listed = sorted(names)
        told = {server.name: server.forget(listed, invalidation) for server in self.all}
        if settle and invalidation is not None:
            self._settling.watch(invalidation, told)

    def recheck(self) -> None:
        """Use none before it has caught up with the ledger: something was or may be missed."""
        for server in self.all:
            server.link.drop()

    async def lacking(self, server: Server) -> Sequence[Row] | None:
        """What `server` may have missed; None when it may not be used now."""
        if not self._hearing():
            return None
        if server.name not in await self._ledger.registered():
            await self._ledger.register(self._secret, self._epoch, list(self._all))
            return None
        rows = await self._ledger.rows()
        if not self._hearing():
            return None
        if len(rows) <= ROWS_MAX:
            return rows
        return None if server.empty() is None else ()

    def caught_up(self, server: Server, rows: Sequence[Row]) -> None:
        """Settle what said "everything" to `server`: it was emptied."""
        emptied = [row.id for row in rows if row.server == server.name]
        if emptied:
            self._settling.settled(frozenset({server.name}), *emptied)
