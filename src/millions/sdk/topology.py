"""Where the primary and the replicas of one shard are now, whatever the directory says.

The directory names the members of a shard; their roles in it are those of the moment when it was
written. What each says of itself is put together here. It never sends anything.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from typing import TYPE_CHECKING

from millions.sdk.log import log
from millions.sdk.member import Role
from millions.sdk.position import BYTES, covers
from millions.sdk.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from millions.sdk.member import Member
    from millions.sdk.position import Seen

SETTLE_S = 2.0
"""So long after a shard got replicas nobody reads from them: some process may not know of them yet,
and not write down how far its users have seen. The directory is looked at ten times a second."""

LAG_MAX_S = 10.0
"""A replica that does not show what the primary had this long ago is not asked by anybody."""

RECENT_S = 0.02
"""A replica's place is taken for what it is for this long; after that it is asked anew."""

FIRST_LOOK_S = 1.0
"""How long the first decision waits for members that do not answer."""

HURRY_S = 15.0
"""A search for the primary is hurried this long, and goes on at the usual pace after that."""


HELD_LIMIT_S = 8.0
"""A primary that is about to change does so within a second, on a busy machine within some; if it
does not, the move was broken off, and its blocks begin again on the old one."""


class Topology:
    """The members of one shard: one of them the primary, perhaps none at this moment."""

    def __init__(self, shard: str, *, name: str, settle_s: float = SETTLE_S) -> None:
        self.shard = shard
        self.primary: Member | None = None
        self.floor: int | None = None
        """What every replica must have reached to be asked by anybody; None: none may be."""

        self._name = name
        self._settle_s = settle_s
        self._watches: list[Watch] = []
        self._replicas: tuple[Member, ...] = ()
        self._offset = random.randrange(1 << 16)  # noqa: S311  # processes begin elsewhere
        self._changed = asyncio.Event()
        self._began_s = time.monotonic()
        self._trail: deque[tuple[float, int]] = deque()
        self._hurry_until_s = 0.0
        self._asked_since_s = 0.0
        self._was_there = False
        self._hold_wanted = False
        self._held_until_s = 0.0
        self._held_on: Member | None = None
        self._held_since: datetime | None = None

    @property
    def held(self) -> bool:
        """Whether blocks for the primary wait, because it is about to change."""
        return time.monotonic() < self._held_until_s

    def hold(self, *, wanted: bool) -> None:
        """Let blocks for the primary wait until it is another one or another process; or no more.

        They wait for a bounded time.
        """
        if wanted is self._hold_wanted:
            return
        self._hold_wanted = wanted
        for watch in self._watches:
            watch.hold(wanted=wanted)
        if wanted:
            self._hold_on(self.primary)
            self._held_until_s = time.monotonic() + HELD_LIMIT_S
        else:
            self._release()

    def settle(self) -> None:
        """Ask no replica for a while: other processes may not know yet that there are any."""
        self._began_s = time.monotonic()
        self.floor = None
        self._trail.clear()

    def add(self, member: Member) -> None:
        """Watch one more member."""
        watch = Watch(member, name=self._name, changed=self._heard)
        watch.hold(wanted=self._hold_wanted)
        self._watches.append(watch)
        watch.start()

    async def leave(self, member: Member) -> None:
        """Watch and use `member` no more."""
        gone = [watch for watch in self._watches if watch.member is member]
        self._watches = [watch for watch in self._watches if watch.member is not member]
        for watch in gone:
            await watch.stop()
        if self.primary is member:
            self.primary = None  # what it has begun may go on: it leaves by plan
            self._switch(self._best())
        self._sort()

    async def stop(self) -> None:
        """Watch nothing any more."""
        watches, self._watches = self._watches, []
        await asyncio.gather(*(watch.stop() for watch in watches))

    def lost(self, member: Member | None) -> None:
        """Hear from a block that `member` (the primary, when None) does not do what is asked.

        Everybody is looked at anew, at once and often, until a primary has answered after this.
        """
        now_s = time.monotonic()
        if member is not None and member is not self.primary:
            member.answers = False  # until its watch has looked again
            self._sort()
        self._asked_since_s = now_s
        if now_s >= self._hurry_until_s:
            self._hurry_until_s = now_s + HURRY_S
            for watch in self._watches:
                watch.hurry(wanted=True)

    async def change(self, within_s: float) -> None:
        """Wait until the primary changes, at most `within_s`."""
        try:
            async with asyncio.timeout(within_s):
                await self._changed.wait()
        except TimeoutError:
            return

    async def let_change(self, within_s: float) -> None:
        """Wait while the primary is about to change, at most `within_s`."""
        until_s = time.monotonic() + within_s
        while self.held and (left_s := until_s - time.monotonic()) > 0:
            await self.change(left_s)

    def replica(self, seen: Seen, avoided: Collection[Member]) -> Member | None:
        """Answer the replica with the fewest blocks that may show all that was seen, if any.

        Of several, the same one for a second: to change with each read costs 100 µs of CPU, for
        connections and servers that are cold.
        """
        floor = self.floor
        if floor is None or self.shard in seen.unsure:
            return None
        wanted = seen.positions.get(self.shard, 0)
        found: Member | None = None
        now_s = time.monotonic()
        known_since_s = now_s - RECENT_S
        first = int(now_s) + self._offset
        count = len(self._replicas)
        for number in range(count):
            member = self._replicas[(number + first) % count]
            reached = member.reached
            if member in avoided or not covers(reached, floor):
                continue
            if not covers(reached, wanted) and (
                reached >> BYTES < wanted >> BYTES or member.reached_at_s > known_since_s
            ):
                continue
            if found is None or member.seats.asked < found.seats.asked:
                found = member
        return found

    def _heard(self, member: Member) -> None:
        """Decide anew after a look at `member`. One that is watched no more has no say."""
        if all(watch.member is not member for watch in self._watches):
            return
        now_s = time.monotonic()
        best = self._best()
        if best is not self.primary and (best is None or self._decided(now_s)):
            self._switch(best)
        if member is self.primary:
            self._follow(member, now_s)
        if self._hurry_until_s and now_s > self._hurry_until_s:
            self._calm()
        self._sort()

    def _best(self) -> Member | None:
        """The member that says it is the primary; of two that say so, that of the later timeline.

        The former one may be cut off, and not know of the other yet.
        """
        found: Member | None = None
        for watch in self._watches:
            member = watch.member
            if member.role is not Role.PRIMARY:
                continue
            if found is None or (member.timeline, member is self.primary) > (
                found.timeline,
                found is self.primary,
            ):
                found = member
        return found

    def _decided(self, now_s: float) -> bool:
        """Whether enough is known to call one the primary: at first, that of every member."""
        if self.primary is not None or now_s - self._began_s > FIRST_LOOK_S:
            return True
        return all(watch.member.looked for watch in self._watches)

    def _switch(self, best: Member | None) -> None:
        former, self.primary = self.primary, best
        if former is not None:
            former.cut()
            log.info(
                "primary changed",
                shard=self.shard,
                former=former.endpoint.host,
                now=best.endpoint.host if best is not None else "none yet",
            )
        if self.held and self._held_on is None:
            self._hold_on(best)  # it was not known yet who is about to be followed
        elif best is not None and best is not self._held_on:
            self._held_until_s = 0.0
        self._release_waiting()
        if best is None:
            self.lost(None)

    def _hold_on(self, primary: Member | None) -> None:
        self._held_on = primary
        self._held_since = primary.started if primary is not None else None

    def _release(self) -> None:
        self._held_until_s = 0.0
        self._release_waiting()

    def _release_waiting(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def _follow(self, primary: Member, now_s: float) -> None:
        """Take over what the primary says: that it is there, and how far it has come."""
        was_there, self._was_there = self._was_there, primary.answers
        if not primary.answers:
            if was_there:
                self.lost(None)
            return
        if self.held and primary is self._held_on and primary.started != self._held_since:
            self._release()  # it was restarted
        if self._hurry_until_s and primary.reached_at_s > self._asked_since_s:
            self._calm()
        if now_s < self._began_s + self._settle_s:
            return
        trail = self._trail
        trail.append((now_s, primary.reached))
        if self.floor is None:
            self.floor = primary.reached
        while trail[0][0] <= now_s - LAG_MAX_S:
            self.floor = trail.popleft()[1]

    def _calm(self) -> None:
        self._hurry_until_s = 0.0
        for watch in self._watches:
            watch.hurry(wanted=False)

    def _sort(self) -> None:
        self._replicas = tuple(
            watch.member
            for watch in self._watches
            if watch.member.role is Role.REPLICA and watch.member.answers
        )
