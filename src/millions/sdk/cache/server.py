"""One cache server as this process reaches it: emptied of what is stale before it is used.

What others have committed is forgotten here over the same connection that reads, in that order, so
that no read of this process overtakes an invalidation that it knows of.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

from millions.sdk.cache import reuse, scripts
from millions.sdk.cache.ledger import AWAY
from millions.sdk.valkey import AwayError, Greeting, Link

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from uuid import UUID

    from millions.directory import Endpoint
    from millions.sdk.cache.ledger import Row
    from millions.sdk.valkey import Wire

    Acknowledged = asyncio.Future[Any]


class Keeper(Protocol):
    """Who knows what a server may have missed."""

    async def lacking(self, server: Server) -> Sequence[Row] | None:
        """What it has to forget before it is used; None when it may not be used now."""

    def caught_up(self, server: Server, rows: Sequence[Row]) -> None:
        """Called when it has."""


class Server:
    """One server. `keeper` says what it has to forget before it is used."""

    def __init__(self, place: Endpoint, password_file: str, keeper: Keeper) -> None:
        greeting = Greeting(password_file=password_file, scripts=(*scripts.ALL, reuse.REUSE))
        self.link = Link(place, greeting, ready=self._ready)
        self.name = self.link.name
        self._told: Wire | None = None
        self._keeper = keeper

    def forget(self, names: Sequence[str], invalidation: UUID | None) -> Acknowledged | None:
        """Forget these; None when it cannot be told, and has to catch up before it is used.

        `invalidation` is known to be committed: who brings it again, with the same names, changes
        nothing.
        """
        wire = self._told
        if wire is None:
            return None
        sent: list[Acknowledged] = []
        try:
            for part, start in enumerate(range(0, len(names), scripts.NAMES_MAX)):
                keys = [] if invalidation is None else [scripts.done(str(invalidation), part)]
                some = names[start : start + scripts.NAMES_MAX]
                told = wire.run(scripts.FORGET, keys, *(each.encode() for each in some))
                sent.append(wire.vital(told))
        except AwayError:
            wire.abort()  # it may have been full: what it does not know it may not serve
            return None
        return _together(sent)

    def empty(self) -> Acknowledged | None:
        """Forget everything."""
        wire = self._told
        if wire is None:
            return None
        try:
            return wire.vital(wire.send("FLUSHALL", "ASYNC"))
        except AwayError:
            return None

    def forget_rows(self, rows: Collection[Row]) -> list[Acknowledged | None]:
        """Forget what the ledger says it may lack."""
        mine = [row for row in rows if row.server in ("", self.name)]
        if any(row.server for row in mine):
            return [self.empty()]
        return [self.forget(row.names, row.id) for row in mine]

    async def _ready(self, wire: Wire) -> bool:
        self._told = wire  # first: what is committed after the ledger was read is told to it too
        try:
            rows = await self._keeper.lacking(self)
        except AWAY as error:
            raise AwayError(str(error) or type(error).__name__) from error
        if rows is None:
            return False
        asked = self.forget_rows(rows)
        if None in asked:
            return False
        await asyncio.gather(*(each for each in asked if each is not None))
        self._keeper.caught_up(self, rows)
        return True


def _together(sent: list[Acknowledged]) -> Acknowledged:
    """One answer for all."""
    if len(sent) == 1:
        return sent[0]
    answer: Acknowledged = asyncio.gather(*sent)
    answer.add_done_callback(_seen)  # nobody may be waiting for it
    return answer


def _seen(done: Acknowledged) -> None:
    """Look at the error: the connection has ended with it."""
    if not done.cancelled():
        done.exception()
