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
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast
from uuid import uuid4

from millions.errors import SdkError, UnavailableError
from millions.sdk.cache import announcing, ledger
from millions.sdk.cache.announcing import CHANNEL
from millions.sdk.cache.coherence import Coherence
from millions.sdk.cache.counting import Counts, statistics
from millions.sdk.cache.distributing import Distributing
from millions.sdk.cache.flights import Flights
from millions.sdk.cache.keys import check_name
from millions.sdk.cache.loading import Loading
from millions.sdk.cache.memory import Memory
from millions.sdk.cache.naming import Naming
from millions.sdk.cache.observing import Observing
from millions.sdk.cache.policy import TTL_S, Policy, policy
from millions.sdk.listening import Listening
from millions.sdk.position import saw
from millions.sdk.retry import DRIVER_ERRORS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Sequence

    from millions.directory import Directory
    from millions.sdk.cache.contracts import Cached, CacheSource
    from millions.sdk.cache.memory import Entry
    from millions.sdk.cache.policy import Statistics

P = ParamSpec("P")
R = TypeVar("R")

MEMORY_MIB = 64
"""The room of a cache that was opened with no directory."""

ANNOUNCE_LIMIT_S = 5.0


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
        self._counts = Counts()
        self._memory = Memory(MEMORY_MIB << 20)
        self._flights = Flights()
        self._shapes: dict[str, str] = {}
        self._sender = f"{os.getpid()}-{secrets.token_hex(6)}"
        self._is_open = database is None
        self._coherence = Coherence(
            self._memory, self._flights, sender=self._sender, hearing=database is None
        )
        self._loading = Loading(
            self._memory,
            self._flights,
            self._coherence,
            self._counts,
            clock=clock,
            chance=chance,
        )
        self._listening: Listening | None = None
        self._distributing: Distributing | None = None
        self._observing: Observing | None = None
        if database is not None:
            database.watch_commits(self._coherence)
            self._listening = Listening(database, self._coherence, CHANNEL)
            self._distributing = Distributing(
                database.pool, self._coherence, self._loading, name=self._sender
            )
            self._observing = Observing(
                database.pool, self._memory, self.statistics, name=self._sender
            )

    async def open(self, directory: Directory) -> None:
        """Take the room that `directory` gives, and begin to hear of others' commits.

        Then reach the servers that it names. Raise SdkError when this installation cannot.
        """
        self._memory.resize(directory.cache.memory_mib << 20)
        self._is_open = True
        if self._listening is not None:
            await self._listening.open()
        if self._distributing is not None:
            await self._distributing.open(directory)
        if self._observing is not None:
            self._observing.open()

    def follow(self, directory: Directory) -> None:
        """Use the servers of a newer directory, soon; what is near stays."""
        if self._distributing is not None:
            self._distributing.want(directory)

    async def close(self) -> None:
        """Stop all loading and listening, and forget everything."""
        if self._observing is not None:
            await self._observing.close()
        if self._listening is not None:
            self._is_open = False
            await self._listening.close()
        await self._flights.cancel_all()
        if self._distributing is not None:
            await self._distributing.close()
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
            found = await self._loading.found(key, None, Policy())
            return default if found is None else found.value()
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
        return await self._loading.put(names, value, rules)

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
        invalidation, listed = uuid4(), sorted(set(names))
        texts = announcing.payloads(self._sender, listed, invalidation)
        try:
            await self._database.pool().execute(
                ledger.ANNOUNCE, CHANNEL, texts, invalidation, listed, timeout=ANNOUNCE_LIMIT_S
            )
            self._coherence.done(listed, invalidation)
        except (*DRIVER_ERRORS, TimeoutError) as error:
            self._coherence.done(listed, None)
            raise UnavailableError(
                cannot=f"tell other processes to forget {names[0]!r}",
                because=str(error) or type(error).__name__,
                try_="ask again; the entries' time to live bounds what they serve",
            ) from error

    def statistics(self) -> Statistics:
        """What this cache did and holds."""
        return statistics(
            self._counts,
            self._memory,
            self._coherence,
            remote=self._loading.remote,
            flights=self._flights.started,
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

    def _miss(
        self, names: tuple[str, ...], loader: Callable[[], Awaitable[Any]], rules: Policy
    ) -> Awaitable[Any]:
        self._check_open()
        return self._loading.miss(names, loader, rules)

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
