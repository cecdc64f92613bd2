"""One shard as this process uses it: its servers, its raw connections, the routes to them.

With one server nothing is watched and nothing is asked beside the application's own statements.
With replicas a `Topology` says who is who. The servers may change while it is open.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from millions.errors import UnavailableError
from millions.sdk import driver, position
from millions.sdk.log import log
from millions.sdk.member import Member
from millions.sdk.retry import DRIVER_ERRORS, Fate, fate
from millions.sdk.route import OnlyOne, Route, ToPrimary, ToReplica
from millions.sdk.topology import Topology
from millions.sdk.track import Track, prepare
from millions.sdk.visible import WATCH

if TYPE_CHECKING:
    import asyncpg

    from millions.directory import DatabasePlace, Endpoint, Shard

    Connection = asyncpg.Connection[Any]

CLOSE_LIMIT_S = 5.0
"""How long `close` waits for connections in use before it drops them."""

LEAVE_LIMIT_S = 30.0
"""How long blocks on a server that left the shard may go on."""

LEAVE_LOOK_S = 0.05

PRIMARY_LIMIT_S = 5.0
"""How long a raw connection waits for a primary; its users repeat."""

SEARCH_S = 0.1
SERIALIZABLE = "serializable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How long blocks wait for a seat, and replicas are watched before they are read from."""

    checkout_s: float
    settle_s: float


class OpenShard:
    """One shard, between `open` and `close`."""

    def __init__(self, shard: Shard, place: DatabasePlace, *, name: str, bounds: Bounds) -> None:
        self.name = shard.name
        self.members: dict[Endpoint, Member] = {}
        self.topology: Topology | None = None
        self._place = place
        self._label = name
        self._prepare = prepare(name)
        self._bounds = bounds
        self._pool: asyncpg.Pool[Any] | None = None
        self._only: dict[str, OnlyOne] = {}
        self._endpoints: tuple[Endpoint, ...] = ()
        self._leaving: set[asyncio.Task[None]] = set()
        self._settle(shard)

    @property
    def pool(self) -> asyncpg.Pool[Any]:
        """Raw connections to the primary."""
        assert self._pool is not None  # noqa: S101  # `open` makes it
        return self._pool

    @property
    def primary(self) -> Member | None:
        """The server that takes writes, if one is known."""
        if self.topology is not None:
            return self.topology.primary
        return self.members[self._endpoints[0]]

    @property
    def held(self) -> bool:
        """Whether transactions wait, because the primary is about to change."""
        return self.topology is not None and self.topology.held

    async def open(self) -> None:
        """Make the pool of raw connections; connects to nothing yet."""
        self._pool = await driver.raw_pool(self.connect)

    async def follow(self, shard: Shard) -> None:
        """Use the servers of `shard` from now on; blocks on others may go on for a while."""
        self._hold(shard)
        same = set(self._endpoints) == {shard.primary, *shard.replicas}  # in whatever order
        if same and _is_watched(shard) is (self.topology is not None):
            return
        if not same:
            log.info("servers of a shard changed", shard=self.name, count=1 + len(shard.replicas))
        former = self.primary
        left = self._settle(shard)
        self._hold(shard)  # there may have been no topology before
        if not _is_watched(shard) and self.topology is not None:
            topology, self.topology = self.topology, None
            await topology.stop()
        if not same and former is not self.primary:
            await self.pool.expire_connections()
        for member in left:
            if self.topology is not None:
                await self.topology.leave(member)
            task = asyncio.create_task(self._leave(member), name="millions server left")
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)

    async def close(self) -> None:
        """Drop every connection; those in use after `CLOSE_LIMIT_S` too."""
        for task in list(self._leaving):
            task.cancel()
        await asyncio.gather(*self._leaving, return_exceptions=True)
        if self._pool is not None:
            try:
                await asyncio.wait_for(self._pool.close(), CLOSE_LIMIT_S)
            except TimeoutError:
                self._pool.terminate()
        if self.topology is not None:
            await self.topology.stop()
        for member in self.members.values():
            await member.close(CLOSE_LIMIT_S)

    def to_write(self, isolation: str | None) -> Route:
        """The route of a block that writes. A standby refuses to begin it."""
        level = "" if isolation is None else f" ISOLATION LEVEL {isolation.upper()}"
        begin_sql = f"BEGIN{level} READ WRITE"
        if self.topology is None:
            return self._to_only(begin_sql)
        return ToPrimary(self.topology, begin_sql, self._track())

    def to_read(self, isolation: str | None, *, primary: bool) -> Route:
        """The route of a block that reads: in a request to a replica, unless `primary`."""
        level = "" if isolation is None else f" ISOLATION LEVEL {isolation.upper()}"
        begin_sql = f"BEGIN{level} READ ONLY"
        if self.topology is None:
            return self._to_only(begin_sql)
        track = self._track()
        if track is None:
            return ToPrimary(self.topology, begin_sql, None)
        if primary or isolation == SERIALIZABLE or position.filling.get():
            return ToPrimary(self.topology, begin_sql, track)
        return ToReplica(self.topology, begin_sql, track)

    async def connect(self, purpose: str | None = None) -> Connection:
        """Open a raw connection to the primary, within `PRIMARY_LIMIT_S`.

        Raise ConnectionError when none is found in time.
        """
        name = None if purpose is None else f"{self._label} {purpose}"
        if self.topology is None:
            return await self._connected_to_only(name)
        topology = self.topology
        try:
            async with asyncio.timeout(PRIMARY_LIMIT_S):
                while True:
                    found = await self._connected(topology, name)
                    if found is not None:
                        return found
                    await topology.change(SEARCH_S)
        except TimeoutError:
            raise ConnectionError(f"no server of {self.name} is the primary") from None

    async def _connected_to_only(self, name: str | None) -> Connection:
        connection = await self.members[self._endpoints[0]].connect(name)
        if driver.is_replica(connection):
            connection.terminate()
            raise ConnectionError(f"the server of {self.name} does not take writes yet")
        return connection

    async def _connected(self, topology: Topology, name: str | None) -> Connection | None:
        primary = topology.primary
        if primary is None:
            return None
        try:
            connection = await primary.connect(name)
        except (*DRIVER_ERRORS, UnavailableError) as error:
            if fate(error) is not Fate.LOST:
                raise
            topology.lost(None)
            return None
        if not driver.is_replica(connection):
            return connection
        connection.terminate()
        topology.lost(None)
        return None

    def _hold(self, shard: Shard) -> None:
        if self.topology is not None:
            self.topology.hold(wanted=shard.held)

    def _track(self) -> Track | None:
        seen = position.current.get()
        return None if seen is None else Track(self.name, seen, self._prepare)

    def _to_only(self, begin_sql: str) -> OnlyOne:
        found = self._only.get(begin_sql)
        if found is None:
            member = self.members[self._endpoints[0]]
            found = OnlyOne(member, begin_sql, held=lambda: self.held)
            self._only[begin_sql] = found
        return found

    def _settle(self, shard: Shard) -> list[Member]:
        """Take over the servers of `shard`; answer those that left."""
        was_alone = len(self._endpoints) == 1
        self._endpoints = (shard.primary, *shard.replicas)
        self._only.clear()
        added: list[Member] = []
        for endpoint in self._endpoints:
            if endpoint not in self.members:
                self.members[endpoint] = self._member(endpoint)
                added.append(self.members[endpoint])
        gone = [endpoint for endpoint in self.members if endpoint not in self._endpoints]
        left = [self.members.pop(endpoint) for endpoint in gone]
        if _is_watched(shard):
            if self.topology is None:
                name = self._label + WATCH
                self.topology = Topology(self.name, name=name, settle_s=self._bounds.settle_s)
                added = [self.members[endpoint] for endpoint in self._endpoints]
            elif was_alone and shard.replicas:
                self.topology.settle()
            for member in added:
                self.topology.add(member)
        return left

    def _member(self, endpoint: Endpoint) -> Member:
        return Member(
            self._place,
            endpoint,
            name=self._label,
            shard=self.name,
            wait_s=self._bounds.checkout_s,
        )

    async def _leave(self, member: Member) -> None:
        """Let the blocks on `member` end; then drop its connections."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_LIMIT_S):
                while member.seats.asked:  # noqa: ASYNC110  # it is many things to wait for
                    await asyncio.sleep(LEAVE_LOOK_S)
        await member.close(CLOSE_LIMIT_S)
        member.cut()


def _is_watched(shard: Shard) -> bool:
    """Whether its servers are looked at: there is a choice, or its blocks are to wait for one."""
    return bool(shard.replicas) or shard.held
