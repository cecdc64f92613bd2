"""Remote: looks an entry up on the server that keeps it, and loads it once for all processes.

A server that is away or slow is a miss, never an error; what cannot be had from one is loaded, and
kept near. It keeps nothing itself.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from millions.sdk import position
from millions.sdk.cache import reuse, scripts
from millions.sdk.cache.leases import LEASE_MS, Lease
from millions.sdk.cache.sealed import Content, Seal
from millions.sdk.valkey import AwayError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator

    from millions.sdk.cache.flights import Flight
    from millions.sdk.cache.servers import Servers
    from millions.sdk.cache.values import Frozen
    from millions.sdk.valkey import Wire

    Loader = Callable[[], Awaitable[Any]]

WAIT_LIMIT_S = 5.0
"""Whoever waited this long for another process to load does it itself."""

FIRST_PAUSE_S = 0.004
LAST_PAUSE_S = 0.064
"""Who waits for another process looks again after this, doubled up to the last."""

VALUE_BYTES_MAX = 1 << 20
"""Larger values are kept near alone: on a server one of them would keep all others waiting."""


class RemoteCounts:
    """What was asked of servers."""

    __slots__ = ("away", "fills", "hits", "misses", "shared", "too_large")

    def __init__(self) -> None:
        self.hits = self.misses = self.away = self.fills = self.shared = self.too_large = 0


class Remote:
    """The entries on the servers. `name` tells this process from every other one."""

    def __init__(self, servers: Servers, secret: bytes, *, name: str) -> None:
        self.servers = servers
        self.counts = RemoteCounts()
        self._seal = Seal(secret)
        self._name = name
        self._leased = 0

    async def find(self, key: str, tags: tuple[str, ...] | None = None) -> Content | None:
        """The entry, fresh or stale; None when there is none or its server is away.

        Tags that are not known (None) cost a second look.
        """
        wire = self.servers.wire(key)
        if wire is None:
            self.counts.away += 1
            return None
        try:
            if reuse.is_sampled(key):
                wire.run(reuse.REUSE, [reuse.LAST, reuse.DISTANCES], key.encode())
            entry = scripts.entry(key)
            if tags is None:
                content = await self._with_its_tags(wire, entry)
            elif tags:
                data, *stamps = await wire.send("MGET", entry, *map(scripts.stamp, tags))
                content = self._opened(entry, data, tags, stamps)
            else:
                content = self._opened(entry, await wire.send("GET", entry), (), [])
        except AwayError:
            self.counts.away += 1
            return None
        if content is None:
            self.counts.misses += 1
        else:
            self.counts.hits += 1
        return content

    async def loaded(self, flight: Flight, loader: Loader) -> Any:
        """What another process has put there meanwhile; else what `loader` answers."""
        try:
            content = await self._awaited(flight)
        except AwayError:
            content = None  # the flight is still the only one of this process
        if content is None:
            return await loader()
        self.counts.shared += 1
        flight.until_s = content.fresh_until_s
        flight.seen.merge(position.parse(content.seen))
        return content.frozen.value()

    def landed(self, flight: Flight, frozen: Frozen, *, life_s: float, stale_s: float) -> None:
        """Put what a flight has loaded on the server, if it has the lease."""
        lease, flight.lease = flight.lease, None
        if lease is None:
            return
        if flight.storable and life_s > 0:
            about = (life_s, flight.seen.text())
            with _given_back(lease):
                data = self._sealed(flight.names, frozen, lease.stamps, about)
            if len(data) <= VALUE_BYTES_MAX:
                lease.fill(data, life_s + stale_s)
                self.counts.fills += 1
                return
            self.counts.too_large += 1
        lease.give_back()

    async def put(
        self, names: tuple[str, ...], frozen: Frozen, *, life_s: float, seen: str
    ) -> bool:
        """Put a value there, whoever loads meanwhile; False when it was not to be done."""
        wire = self.servers.wire(names[0])
        if wire is None:
            return False
        try:
            answer = await self._lease(wire, names, scripts.MINE)
            lease = answer[1]
            assert isinstance(lease, Lease)  # noqa: S101  # nobody's lease stands in the way
            with _given_back(lease):
                data = self._sealed(names, frozen, lease.stamps, (life_s, seen))
            if len(data) > VALUE_BYTES_MAX:
                self.counts.too_large += 1
                lease.give_back()
                return False
            filled = lease.fill(data, life_s)
            return filled is not None and await filled == 1
        except AwayError:
            return False

    async def _with_its_tags(self, wire: Wire, entry: bytes) -> Content | None:
        """The entry, unless one of the tags that it names was invalidated."""
        data = await wire.send("GET", entry)
        content = None if data is None else self._seal.opened(entry, data)
        if content is None or not content.tags:
            return content
        stamps = await wire.send("MGET", *map(scripts.stamp, content.tags))
        return content if list(content.stamps) == stamps else None

    async def _awaited(self, flight: Flight) -> Content | None:
        """The entry, once it is there and fresh; None with the lease of the flight, or without."""
        loop = asyncio.get_running_loop()
        ends_at_s, pause_s = loop.time() + WAIT_LIMIT_S, FIRST_PAUSE_S
        while flight.storable and loop.time() < ends_at_s:
            wire = self.servers.wire(flight.names[0])
            if wire is None:
                return None
            answer = await self._lease(wire, flight.names, scripts.ANY)
            if answer[0] == scripts.FOUND and answer[1] is None:
                answer = await self._lease(wire, flight.names, scripts.ANEW)
            if isinstance(answer[1], Lease):
                flight.lease = answer[1]
                return None
            if answer[1] is not None:
                return answer[1]
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, LAST_PAUSE_S)
        return None

    async def _lease(
        self, wire: Wire, names: tuple[str, ...], wanted: str
    ) -> tuple[int, Content | Lease | None]:
        """What the script answers: a usable entry (None for one of no use), a lease, or wait."""
        key, tags = names[0], names[1:]
        self._leased += 1
        token = f"{self._name}:{self._leased}"
        entry = scripts.entry(key)
        keys = [entry, scripts.lease(key), *map(scripts.stamp, tags)]
        kind, *rest = await wire.run(scripts.LEASE, keys, token, LEASE_MS, wanted)
        if kind == scripts.LEASED:
            return kind, Lease(wire, key, token, tuple(rest))
        if kind == scripts.WAIT:
            return kind, None
        content = self._opened(entry, rest[0], tags, rest[1:])
        fresh = content is not None and time.time() < content.fresh_until_s
        return kind, content if fresh else None

    def _opened(
        self, entry: bytes, data: bytes | None, tags: tuple[str, ...], stamps: list[bytes | None]
    ) -> Content | None:
        """The content, unless it is foreign, or one of its tags was invalidated."""
        content = None if data is None else self._seal.opened(entry, data)
        if content is None or content.tags != tags or list(content.stamps) != stamps:
            return None
        return content

    def _sealed(
        self,
        names: tuple[str, ...],
        frozen: Frozen,
        stamps: tuple[bytes, ...],
        about: tuple[float, str],
    ) -> bytes:
        life_s, seen = about
        content = Content(
            frozen=frozen,
            fresh_until_s=time.time() + life_s,
            tags=names[1:],
            stamps=stamps,
            seen=seen,
        )
        return self._seal.sealed(scripts.entry(names[0]), content)


@contextmanager
def _given_back(lease: Lease) -> Generator[None]:
    """Let another one load when the block raises: a lease that nobody ends is renewed for ever."""
    try:
        yield
    except BaseException:
        lease.give_back()
        raise
