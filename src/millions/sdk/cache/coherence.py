"""Coherence: decides what the cache of this process may keep, while others change the database.

It watches the commits of this process and hears of those of the others. It drops too much rather
than too little: whatever it cannot be certain of is forgotten. It loads and serves nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast
from uuid import UUID, uuid4

from millions.sdk.cache import announcing, ledger
from millions.sdk.cache.announcing import CHANNEL
from millions.sdk.cache.keys import check_name

if TYPE_CHECKING:
    from collections.abc import Collection

    import asyncpg
    from sqlalchemy import Connection

    from millions.sdk.cache.flights import Flights
    from millions.sdk.cache.memory import Memory
    from millions.sdk.cache.servers import Servers
    from millions.sdk.session import Session

UNKNOWN_MAX = 4096
"""Names whose commit may still happen after we lost sight of it; more of them means: all names."""


class Coherence:
    """The names under way, and whether this process hears the others. A CommitWatcher."""

    def __init__(self, memory: Memory, flights: Flights, *, sender: str, hearing: bool) -> None:
        self.pending: dict[str, int] = {}
        self.hearing = hearing
        self.servers: Servers | None = None
        self._memory = memory
        self._flights = flights
        self._sender = sender
        self._unknown: set[str] = set()
        self._all_unknown = False
        self._invalidations: dict[int, tuple[frozenset[str], UUID]] = {}

    def may_store(self, names: Collection[str]) -> bool:
        """Whether an answer that is read from now on may be kept under these names."""
        return self.hearing and (not self.pending or self.pending.keys().isdisjoint(names))

    def forget(self, names: Collection[str]) -> None:
        """Drop what is known under `names`, and let go of what is being loaded."""
        self._memory.drop(names)
        self._memory.drop_held(names)
        self._flights.let_go(names)

    def forget_all(self) -> None:
        """Drop everything, and let go of all that is being loaded."""
        self._memory.clear()
        self._flights.let_all_go()

    async def prepare(self, session: Session, names: frozenset[str]) -> None:
        """Make `names` pending and announce them inside the transaction, before its COMMIT."""
        self._begin(names)  # first: what is raised below ends in `aborted`, which ends this
        for name in names:
            check_name(name)
        connection = cast("Connection", session.sync_session.bind)
        raw = cast("asyncpg.Connection[Any]", connection.connection.driver_connection)
        invalidation = uuid4()
        texts = announcing.payloads(self._sender, names, invalidation)
        await raw.execute(ledger.ANNOUNCE, CHANNEL, texts, invalidation, sorted(names))
        self._invalidations[id(names)] = (names, invalidation)

    def committed(self, names: frozenset[str]) -> None:
        """Forget what was read before this commit, or while it was under way."""
        invalidation = self._end(names)
        self.done(names, invalidation)

    def done(self, names: Collection[str], invalidation: UUID | None) -> None:
        """Forget `names`, on the servers too: this commit of ours happened, or may have (None)."""
        self.forget(names)
        if self.servers is not None:
            self.servers.forget(names, invalidation, settle=True)

    def aborted(self, names: frozenset[str], *, unknown: bool) -> None:
        """Show again what was put aside; forget it when the commit may have happened."""
        self._end(names)
        if not unknown:
            self._memory.put_back(names, self.pending)
            return
        self.done(names, None)
        self._unknown |= names
        if len(self._unknown) > UNKNOWN_MAX:
            self._unknown.clear()
            self._all_unknown = True

    def hear(self, payload: str) -> None:
        """Forget what another process, or a commit that we lost sight of, has changed."""
        heard = announcing.parse(payload)
        ours = heard.sender == self._sender and not self._may_be_ours(heard.names)
        if heard.names is None:
            self.forget_all()
            if self.servers is not None and not ours:
                self.servers.recheck()
        elif not ours:
            self.forget(heard.names)
            if self.servers is not None:
                self.servers.forget(heard.names, heard.invalidation)

    def listening(self) -> None:
        """From now on nothing that others commit is missed."""
        self.forget_all()
        self.hearing = True

    def deaf(self) -> None:
        """Others may commit unheard: keep nothing until `listening` is called."""
        self.hearing = False
        self.forget_all()
        if self.servers is not None:
            self.servers.recheck()

    def _may_be_ours(self, names: frozenset[str] | None) -> bool:
        """Whether `names` (None: any) may come from a commit of ours that we lost sight of."""
        if self._all_unknown or names is None:
            return self._all_unknown or bool(self._unknown)
        return not self._unknown.isdisjoint(names)

    def _begin(self, names: frozenset[str]) -> None:
        for name in names:
            self.pending[name] = self.pending.get(name, 0) + 1
        self._memory.hold(names)
        self._flights.let_go(names)

    def _end(self, names: frozenset[str]) -> UUID | None:
        """Let `names` be pending no more; answer which invalidation this was, if it was announced.

        By their identity: another transaction may name the same.
        """
        for name in names:
            left = self.pending.get(name, 0) - 1
            if left > 0:
                self.pending[name] = left
            else:
                self.pending.pop(name, None)
        return self._invalidations.pop(id(names), (names, None))[1]
