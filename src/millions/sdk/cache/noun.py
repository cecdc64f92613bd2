"""`cache`: what was read once is answered from memory, and never older than the last commit (G5).

Names that a transaction invalidates are pending from before its COMMIT is sent until its outcome is
known: their entries are out of sight and loaders' answers are not kept. Other processes learn of
the commit by a notification inside the same transaction. It never returns a value that another
caller can change, and holds nothing while it cannot hear what others commit.
"""

from __future__ import annotations

import functools
import os
import random
import secrets
import time
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar, cast

from millions.errors import SdkError, UnavailableError
from millions.sdk.cache import announcing
from millions.sdk.cache.coherence import Coherence
from millions.sdk.cache.flights import Flight, Flights
from millions.sdk.cache.keys import check_name
from millions.sdk.cache.listening import CHANNEL, Listening, ListenSource
from millions.sdk.cache.memory import Entry, Memory
from millions.sdk.cache.naming import Naming
from millions.sdk.cache.policy import REFRESH_PAUSE_S, TTL_S, Policy, Statistics, policy
from millions.sdk.cache.values import Frozen, freeze
from millions.sdk.position import copy_of, current, saw
from millions.sdk.retry import DRIVER_ERRORS

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence

    import asyncpg

    from millions.directory import Directory
    from millions.sdk.position import Seen
    from millions.sdk.session import CommitWatcher

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

MEMORY_MIB = 64
"""The room of a cache that was opened with no directory."""

REFRESHES_MAX = 64
"""Refreshes under way at once; beyond them a stale value is served and nothing started."""

ANNOUNCE_LIMIT_S = 5.0


class CacheSource(ListenSource, Protocol):
    """What the cache needs of the database."""

    def watch_commits(self, watcher: CommitWatcher) -> None:
        """Tell `watcher` of every transaction that invalidates names."""
        ...

    def pool(self) -> asyncpg.Pool[Any]:
        """Return the raw connections."""
        ...


class Cached(Protocol[P, R_co]):
    """A function whose answers are cached. `__wrapped__` is the function itself."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R_co]:
        """Answer from the cache, else load."""
        ...

    def key(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """The name under which this call's answer is kept, for `s.invalidates(...)`."""
        ...


class Counts:
    """What the cache counts by itself."""

    __slots__ = ("bypassed", "hits", "misses", "refresh_failures", "stale_hits")

    def __init__(self) -> None:
        self.hits = self.stale_hits = self.misses = self.bypassed = self.refresh_failures = 0


class Cache:
    """The cache of this process. `Cache()` without a database serves one process alone."""

    def __init__(
        self,
        database: CacheSource | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._database = database
        self._clock = clock
        self._chance = chance
        self._counts = Counts()
        self._memory = Memory(MEMORY_MIB << 20)
        self._flights = Flights()
        self._refreshing: set[str] = set()
        self._shapes: dict[str, str] = {}
        self._sender = f"{os.getpid()}-{secrets.token_hex(6)}"
        self._is_open = database is None
        self._coherence = Coherence(
            self._memory, self._flights, sender=self._sender, hearing=database is None
        )
        self._listening: Listening | None = None
        if database is not None:
            database.watch_commits(self._coherence)
            self._listening = Listening(database, self._coherence)

    async def open(self, directory: Directory) -> None:
        """Take the room that `directory` gives, and begin to hear of others' commits."""
        self._memory.resize(directory.cache.memory_mib << 20)
        self._is_open = True
        if self._listening is not None:
            await self._listening.open()

    async def close(self) -> None:
        """Stop all loading and listening, and forget everything."""
        if self._listening is not None:
            self._is_open = False
            await self._listening.close()
        await self._flights.cancel_all()
        self._memory.clear()

    def through(
        self,
        *,
        key: str | Callable[..., str],
        ttl_s: float = TTL_S,
        tags: Sequence[str] = (),
        negative_ttl_s: float | None = None,
        stale_s: float = 0.0,
        ignore: Collection[str] = (),
    ) -> Callable[[Callable[P, Awaitable[R]]], Cached[P, R]]:
        """Answer calls of an async function from the cache; load with one call per miss.

        `key` and `tags` are templates over the parameters (`"user:{id}"`), or `key` a function of
        the same arguments. `None` is kept for `negative_ttl_s` (0: not at all). A stale answer
        serves for `stale_s` more while one refresh runs. Exceptions are not cached; all who wait
        for the same load get the same one. Raise SdkError when the key leaves out a parameter that
        is not in `ignore`, or when another function uses the same template.
        """
        rules = policy(ttl_s=ttl_s, negative_ttl_s=negative_ttl_s, stale_s=stale_s)

        def decorate(function: Callable[P, Awaitable[R]]) -> Cached[P, R]:
            naming = Naming(function, key=key, tags=tags, ignore=ignore)
            self._claim(naming)
            return self._wrapped(function, naming, rules)

        return decorate

    async def get(self, key: str, default: Any = None) -> Any:
        """The fresh value under `key`, else `default`."""
        entry = self._memory.entries.get(key)
        if entry is None or self._clock() >= entry.fresh_until_s:
            self._counts.misses += 1
            return default
        self._memory.entries.move_to_end(key)
        self._counts.hits += 1
        _shown(entry)
        return entry.value()

    async def put(
        self, key: str, value: Any, *, ttl_s: float = TTL_S, tags: Sequence[str] = ()
    ) -> bool:
        """Keep `value`; False when it may not be kept now, or is too large.

        For what is true by itself. What was read from the database belongs into `load`, which
        knows when the reading began: a `put` may come after a commit that made its value old.
        """
        self._check_open()
        names = (check_name(key), *map(check_name, tags))
        rules = policy(ttl_s=ttl_s, negative_ttl_s=ttl_s, stale_s=0.0)
        frozen = freeze(value)
        if not self._coherence.may_store(names):
            return False
        self._flights.let_go(names[:1])
        return self._keep(names, frozen, rules, current.get())

    async def load(
        self,
        key: str,
        loader: Callable[[], Awaitable[R]],
        *,
        ttl_s: float = TTL_S,
        tags: Sequence[str] = (),
        negative_ttl_s: float | None = None,
        stale_s: float = 0.0,
    ) -> R:
        """The value under `key`; where there is none, what `loader()` answers."""
        entry = self._memory.entries.get(key)
        if entry is not None and self._clock() < entry.fresh_until_s:
            self._memory.entries.move_to_end(key)
            self._counts.hits += 1
            _shown(entry)
            return cast("R", entry.value())
        names = (check_name(key), *map(check_name, tags))
        rules = policy(ttl_s=ttl_s, negative_ttl_s=negative_ttl_s, stale_s=stale_s)
        return cast("R", await self._miss(names, loader, rules))

    async def invalidate(self, *names: str) -> None:
        """Forget keys and tags here and in the other processes, outside of any transaction.

        For what is not in the database; a transaction says `s.invalidates(...)` instead. Raise
        UnavailableError when the others could not be told (here it is forgotten all the same).
        """
        for name in names:
            check_name(name)
        self._coherence.forget(names)
        if self._database is None or not names:
            return
        self._check_open()
        texts = announcing.payloads(self._sender, names)
        try:
            await self._database.pool().execute(
                announcing.SQL, CHANNEL, texts, timeout=ANNOUNCE_LIMIT_S
            )
        except (*DRIVER_ERRORS, TimeoutError) as error:
            raise UnavailableError(
                cannot=f"tell other processes to forget {names[0]!r}",
                because=str(error) or type(error).__name__,
                try_="ask again; the entries' time to live bounds what they serve",
            ) from error

    def statistics(self) -> Statistics:
        """What this cache did and holds."""
        counts, memory = self._counts, self._memory
        return Statistics(
            hits=counts.hits,
            stale_hits=counts.stale_hits,
            misses=counts.misses,
            loads=self._flights.started,
            bypassed=counts.bypassed,
            refresh_failures=counts.refresh_failures,
            evictions=memory.evictions,
            too_large=memory.too_large,
            entries=len(memory.entries),
            used_bytes=memory.used_bytes,
            capacity_bytes=memory.capacity_bytes,
            pending=len(self._coherence.pending),
            listening=self._coherence.hearing,
            listening_losses=self._listening.losses if self._listening else 0,
        )

    def _wrapped(
        self, function: Callable[P, Awaitable[R]], naming: Naming, rules: Policy
    ) -> Cached[P, R]:
        """The function with the cache before it. What a hit does stands here, and nowhere else."""
        lookup, touch = self._memory.entries.get, self._memory.entries.move_to_end
        clock, counts, key_of = self._clock, self._counts, naming.key_of

        @functools.wraps(function)
        async def cached(*args: P.args, **kwargs: P.kwargs) -> R:
            key = key_of(args, kwargs)
            entry = lookup(key)
            if entry is not None and clock() < entry.fresh_until_s:
                touch(key)
                counts.hits += 1
                if entry.seen is not None:
                    saw(entry.seen)
                thaw = entry.thaw
                return cast("R", entry.kept if thaw is None else thaw(entry.kept))
            names = (check_name(key), *naming.tags_of(args, kwargs))
            loader = functools.partial(function, *args, **kwargs)
            return cast("R", await self._miss(names, loader, rules))

        cached.key = lambda *args, **kwargs: key_of(args, kwargs)  # type: ignore[attr-defined]
        return cast("Cached[P, R]", cached)

    def _claim(self, naming: Naming) -> None:
        """Raise SdkError when another function would read this one's entries as its own."""
        if naming.shape is None:
            return
        owner = self._shapes.setdefault(naming.shape, naming.owner)
        if owner != naming.owner:
            raise SdkError(
                cannot=f"cache {naming.owner} under {naming.text!r}",
                because=f"{owner} keeps its answers under the same keys",
                try_="another word at the start of the key",
            )

    async def _miss(
        self, names: tuple[str, ...], loader: Callable[[], Awaitable[Any]], rules: Policy
    ) -> Any:
        self._check_open()
        key = names[0]
        entry = self._memory.entries.get(key)
        if entry is not None:
            if self._clock() < entry.dead_at_s:
                self._counts.stale_hits += 1
                self._refresh(names, loader, rules, entry)
                _shown(entry)
                return entry.value()
            self._memory.drop_entry(key, entry)
        self._counts.misses += 1
        flight = self._flights.of(key) or self._start(names, loader, rules)
        return (await flight.answer()).value()

    def _start(
        self, names: tuple[str, ...], loader: Callable[[], Awaitable[Any]], rules: Policy
    ) -> Flight:
        storable = self._coherence.may_store(names)
        self._counts.bypassed += not storable
        flight = Flight(names, storable=storable)
        return self._flights.start(flight, loader, functools.partial(self._landed, rules))

    def _landed(self, rules: Policy, flight: Flight, frozen: Frozen) -> None:
        """Keep the answer of a loader that no commit has overtaken."""
        if flight.storable:
            self._keep(flight.names, frozen, rules, flight.seen)

    def _keep(
        self, names: tuple[str, ...], frozen: Frozen, rules: Policy, seen: Seen | None
    ) -> bool:
        life_s = rules.life_s(frozen.kept, self._chance())
        if life_s <= 0:
            return False
        entry = Entry(kept=frozen.kept, thaw=frozen.thaw, names=names)
        if seen is not None and (seen.positions or seen.unsure):
            entry.seen = copy_of(seen)
        entry.fresh_until_s = self._clock() + life_s
        entry.dead_at_s = entry.fresh_until_s + rules.stale_s
        return self._memory.store(entry, frozen.size_bytes)

    def _refresh(
        self,
        names: tuple[str, ...],
        loader: Callable[[], Awaitable[Any]],
        rules: Policy,
        entry: Entry,
    ) -> None:
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

    def _check_open(self) -> None:
        if not self._is_open:
            raise UnavailableError(
                cannot="use the cache",
                because="it is not open",
                try_="run inside Millions(app), or `async with millions.sdk.nouns.running():`",
            )


def _shown(entry: Entry) -> None:
    """Note for the user of this request how far the database was read for what they are shown."""
    if entry.seen is not None:
        saw(entry.seen)
