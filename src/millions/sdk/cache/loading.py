"""Loading: what happens when a value is not near: look on a server, else load, and keep.

One lookup or loader call for all who ask at once in this process; on servers, one loader call for
all processes. It decides nothing about names; a hit in memory never comes here.
"""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING, Any

from millions.sdk import position
from millions.sdk.cache.flights import Flight
from millions.sdk.cache.memory import Entry
from millions.sdk.cache.policy import REFRESH_PAUSE_S
from millions.sdk.cache.values import Frozen, freeze

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable

    from millions.sdk.cache.coherence import Coherence
    from millions.sdk.cache.counting import Counts
    from millions.sdk.cache.flights import Flights
    from millions.sdk.cache.memory import Memory
    from millions.sdk.cache.policy import Policy
    from millions.sdk.cache.remote import Remote
    from millions.sdk.position import Seen

    Loader = Callable[[], Awaitable[Any]]

REFRESHES_MAX = 64
"""Refreshes under way at once; beyond them a stale value is served and nothing started."""


class Loading:
    """How values come into this process. `remote` stands for the servers, where there are any."""

    def __init__(
        self,
        memory: Memory,
        flights: Flights,
        coherence: Coherence,
        counts: Counts,
        *,
        clock: Callable[[], float],
        chance: Callable[[], float],
    ) -> None:
        self.remote: Remote | None = None
        self._memory = memory
        self._flights = flights
        self._coherence = coherence
        self._counts = counts
        self._clock = clock
        self._chance = chance
        self._refreshing: set[str] = set()

    async def miss(self, names: tuple[str, ...], loader: Loader, rules: Policy) -> Any:
        """The value that is not near, or not fresh."""
        key = names[0]
        entry = self._memory.entries.get(key)
        if entry is not None:
            if self._clock() < entry.dead_at_s:
                return self._stale(names, loader, rules, entry)
            self._memory.drop_entry(key, entry)
        self._counts.misses += 1
        flight = self._flights.of(key)
        if flight is None and self.remote is not None:
            found = await self.found(key, names[1:], rules)
            if found is not None:
                if self._clock() < found.fresh_until_s:
                    return found.value()
                return self._stale(names, loader, rules, found)
            flight = self._flights.of(key)
        flight = flight or self._start(names, loader, rules)
        return (await flight.answer()).value()

    async def found(self, key: str, tags: tuple[str, ...] | None, rules: Policy) -> Entry | None:
        """What a server has under `key`; kept near if nothing was forgotten meanwhile.

        Tags that are not known (None) cost a second look.
        """
        remote, flights = self.remote, self._flights
        if remote is None or not self._coherence.may_store((key, *(tags or ()))):
            return None
        before = flights.forgotten
        content = await remote.find(key, tags)
        if content is None:
            return None
        life_s = content.fresh_until_s - time.time()
        if life_s <= -rules.stale_s:
            return None
        seen = None
        if content.seen:
            seen = position.parse(content.seen)
            position.saw(seen)
        frozen, names = content.frozen, (key, *content.tags)
        entry = self._entry(names, frozen, rules, life_s=life_s, seen=seen)
        if not flights.overtook(names, before):
            self._memory.store(entry, frozen.size_bytes)
        return entry

    async def put(self, names: tuple[str, ...], value: Any, rules: Policy) -> bool:
        """Keep `value` near and on its server; False when neither may or can be."""
        frozen = freeze(value)
        if not self._coherence.may_store(names):
            return False
        self._flights.let_go(names[:1])
        seen, life_s = position.current.get(), rules.life_s(frozen.kept, self._chance())
        kept = self._keep(names, frozen, rules, life_s=life_s, seen=seen)
        if self.remote is None or life_s <= 0:
            return kept
        said = "" if seen is None else seen.text()
        return await self.remote.put(names, frozen, life_s=life_s, seen=said) or kept

    def _stale(self, names: tuple[str, ...], loader: Loader, rules: Policy, entry: Entry) -> Any:
        """What is no longer fresh, while it is loaded anew."""
        self._counts.stale_hits += 1
        self._refresh(names, loader, rules, entry)
        if entry.seen is not None:
            position.saw(entry.seen)
        return entry.value()

    def _start(self, names: tuple[str, ...], loader: Loader, rules: Policy) -> Flight:
        storable = self._coherence.may_store(names)
        self._counts.bypassed += not storable
        flight = Flight(names, storable=storable)
        if self.remote is not None and storable:
            loader = functools.partial(self.remote.loaded, flight, loader)
        return self._flights.start(flight, loader, functools.partial(self._landed, rules))

    def _landed(self, rules: Policy, flight: Flight, frozen: Frozen) -> None:
        """Keep the answer of a loader that no commit has overtaken."""
        if flight.until_s is None:
            life_s = rules.life_s(frozen.kept, self._chance())
        else:
            life_s = flight.until_s - time.time()
        if flight.storable:
            self._keep(flight.names, frozen, rules, life_s=life_s, seen=flight.seen)
        if self.remote is not None and flight.lease is not None:
            self.remote.landed(flight, frozen, life_s=life_s, stale_s=rules.stale_s)

    def _keep(
        self,
        names: tuple[str, ...],
        frozen: Frozen,
        rules: Policy,
        *,
        life_s: float,
        seen: Seen | None,
    ) -> bool:
        if life_s <= 0:
            return False
        entry = self._entry(names, frozen, rules, life_s=life_s, seen=seen)
        return self._memory.store(entry, frozen.size_bytes)

    def _entry(
        self,
        names: tuple[str, ...],
        frozen: Frozen,
        rules: Policy,
        *,
        life_s: float,
        seen: Seen | None,
    ) -> Entry:
        entry = Entry(kept=frozen.kept, thaw=frozen.thaw, names=names)
        if seen is not None and (seen.positions or seen.unsure):
            entry.seen = position.copy_of(seen)
        entry.fresh_until_s = self._clock() + min(life_s, rules.longest_s)
        entry.dead_at_s = entry.fresh_until_s + rules.stale_s
        return entry

    def _refresh(self, names: tuple[str, ...], loader: Loader, rules: Policy, entry: Entry) -> None:
        """Load anew in the background, once."""
        key = names[0]
        if key in self._refreshing or len(self._refreshing) >= REFRESHES_MAX:
            return
        if self._flights.of(key) is not None:
            return
        flight = self._start(names, loader, rules)
        flight.waiting += 1  # the refresh itself: it goes on when nobody waits
        self._refreshing.add(key)

        def refreshed(task: asyncio.Task[Frozen]) -> None:
            self._refreshing.discard(key)
            if task.cancelled() or task.exception() is not None:
                self._counts.refresh_failures += 1
                again_at_s = self._clock() + REFRESH_PAUSE_S
                entry.fresh_until_s = min(again_at_s, entry.dead_at_s)

        assert flight.task is not None  # noqa: S101  # it was started above
        flight.task.add_done_callback(refreshed)
