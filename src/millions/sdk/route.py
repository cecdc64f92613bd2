"""Which server a block's transaction begins on: the only one, the primary, or a replica.

A route is asked again after each attempt that failed before anything was done. It never begins,
waits or repeats by itself; `block.py` does.
"""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from millions.sdk.retry import NOT_PRIMARY, Fate, fate, sqlstate
from millions.sdk.transaction import BEGIN_LIMIT_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from millions.sdk.member import Member
    from millions.sdk.topology import Topology
    from millions.sdk.track import Track


ELSEWHERE_S = 1.0
"""A replica that takes longer to begin is frozen or overloaded, and another server is asked."""


class Behind(Exception):  # noqa: N818  # not an error: another server is asked
    """The server does not show yet what this user has seen."""


class Next(Enum):
    """What a block does after an attempt that failed before anything was done."""

    RAISE = "the error is the caller's"
    PAUSE = "choose again after a pause"
    AT_ONCE = "choose again at once"


class Route(Protocol):
    """What a block asks before and after it begins."""

    begin_sql: str

    @property
    def begin_limit_s(self) -> float:
        """How long a server may take to begin."""
        ...

    def choose(self) -> Member:
        """The server to begin on. Raise ConnectionError when there is none at this moment."""
        ...

    def check(self, member: Member) -> None:
        """Raise ConnectionError when transactions on `member` are to wait at this moment."""

    def track_on(self, member: Member) -> Track | None:
        """Who wants to know how far a transaction on `member` sees."""
        ...

    def failed(self, member: Member | None, error: Exception) -> Next:
        """Hear of `error` on `member`, which came before anything was done; say what is next."""
        ...

    def lost(self, member: Member | None) -> None:
        """Hear that a transaction on `member` ended with its connection."""

    async def change(self, within_s: float) -> None:
        """Wait until another choice is likely, at most `within_s`."""


class OnlyOne:
    """The route to the only server of a shard. It knows nothing of a block, so all share it."""

    __slots__ = ("_held", "_member", "begin_sql")
    begin_limit_s = BEGIN_LIMIT_S

    def __init__(self, member: Member, begin_sql: str, *, held: Callable[[], bool]) -> None:
        self._member = member
        self._held = held
        self.begin_sql = begin_sql

    def choose(self) -> Member:
        """The only one."""
        self.check(self._member)
        return self._member

    def check(self, member: Member) -> None:
        """Let transactions wait while the only one is about to restart."""
        if self._held():
            raise ConnectionError(f"{member.endpoint.host} is about to restart")

    def track_on(self, member: Member) -> Track | None:  # noqa: ARG002  # as Route has it
        """Nobody: every transaction sees everything."""
        return None

    def failed(self, member: Member | None, error: Exception) -> Next:  # noqa: ARG002
        """Again while it restarts; of a cluster, it is a standby for a moment then."""
        waits = fate(error) is Fate.LOST or sqlstate(error) in NOT_PRIMARY
        return Next.PAUSE if waits else Next.RAISE

    def lost(self, member: Member | None) -> None:
        """Nobody looks for another one."""

    async def change(self, within_s: float) -> None:
        """Wait."""
        await asyncio.sleep(within_s)


class ToPrimary:
    """The route to the primary, wherever it is now."""

    __slots__ = ("_topology", "_track", "begin_sql")
    begin_limit_s = BEGIN_LIMIT_S

    def __init__(self, topology: Topology, begin_sql: str, track: Track | None) -> None:
        self._topology = topology
        self._track = track
        self.begin_sql = begin_sql

    def choose(self) -> Member:
        """The primary."""
        primary = self._topology.primary
        if primary is None:
            raise ConnectionError(f"no server of {self._topology.shard} is the primary")
        self.check(primary)
        return primary

    def check(self, member: Member) -> None:
        """Let transactions on the primary wait while it is about to change."""
        if self._topology.held and member is self._topology.primary:
            raise ConnectionError(f"the primary of {self._topology.shard} is about to change")

    def track_on(self, member: Member) -> Track | None:
        """The user of the request, if this is part of one."""
        if self._track is not None:
            self._track.member = member
        return self._track

    def failed(self, member: Member | None, error: Exception) -> Next:  # noqa: ARG002
        """Again while the primary is away, or another one is about to be found."""
        if isinstance(error, Behind) or sqlstate(error) in NOT_PRIMARY or fate(error) is Fate.LOST:
            self._topology.lost(None)
            return Next.PAUSE
        return Next.RAISE

    def lost(self, member: Member | None) -> None:  # noqa: ARG002
        """Have the primary looked for."""
        self._topology.lost(None)

    async def change(self, within_s: float) -> None:
        """Wait until the primary changes."""
        await self._topology.change(within_s)


class ToReplica(ToPrimary):
    """The route to a replica that shows what the user has seen; without one, to the primary."""

    __slots__ = ("_avoided",)
    begin_limit_s = ELSEWHERE_S

    def __init__(self, topology: Topology, begin_sql: str, track: Track) -> None:
        super().__init__(topology, begin_sql, track)
        self._avoided: list[Member] = []

    def choose(self) -> Member:
        """The replica with the fewest blocks, else the primary."""
        assert self._track is not None  # noqa: S101  # only requests read from replicas
        return self._topology.replica(self._track.seen, self._avoided) or super().choose()

    def failed(self, member: Member | None, error: Exception) -> Next:
        """To another one when this one is behind or gone."""
        if member is None or member is self._topology.primary:
            self._avoided.clear()  # after the pause they may have caught up
            return super().failed(member, error)
        self._avoided.append(member)
        if isinstance(error, Behind):
            return Next.AT_ONCE
        if fate(error) is Fate.LOST:
            self._topology.lost(member)
            return Next.AT_ONCE
        return Next.RAISE

    def lost(self, member: Member | None) -> None:
        """Have the primary looked for, or leave this replica alone until it answers."""
        self._topology.lost(member)
