"""Building: the new server is made as a copy of the old one and follows it until it is near.

Nothing of the old server changes but a reservation of WAL; everything here may be undone.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from typing import TYPE_CHECKING

from millions.cli.moving import servers
from millions.cli.moving.draining import FOLLOWED_S
from millions.cli.moving.servers import LOST
from millions.cli.moving.site import address_of, ask_for, failed, settled, told, until
from millions.errors import MoveError
from millions.runtime import files
from millions.tiers import postgresql_standby as standby

if TYPE_CHECKING:
    from millions.cli.moving.record import Move
    from millions.cli.moving.servers import Following
    from millions.cli.moving.site import Site
    from millions.model import Unit
    from millions.runtime.desired import Desired

MIB = 1_048_576
COPY_MIB_PER_S_MIN = 2
"""A copy that is slower than this would never catch up with a busy database."""

COPY_S_MIN = 300.0
NEAR_BYTES = 1 * MIB
"""A standby that has less than this to replay is done with it in milliseconds."""

STUCK_S = 60.0
"""A standby that comes no nearer for so long will not come nearer by itself."""

PRESENCE_S = 0.1
"""Between two looks whether the standby follows."""

UNCONNECTED_S = 15.0
"""Three times what a sender waits for an answer; a standby that lives is back in 0.1 s, and an old
server that was killed in some seconds."""

NEAR_WITHIN_S = 86_400.0
"""A large database under load may need hours; that it comes nearer is what counts."""


async def build(site: Site, move: Move) -> None:
    """Make the standby and wait until it follows closely. Raise MoveError when it cannot."""
    facts = await site.primary.ask_within(servers.facts)
    _write_follow(site, move)
    await site.primary.ask_within(lambda each: servers.make_slot(each, move.slot))
    copied_within_s = COPY_S_MIN + facts.bytes / MIB / COPY_MIB_PER_S_MIN
    target = _patient(site.target, copied_within_s)
    site.progress.say(f"copies {facts.bytes // MIB} MiB to {target.name}")
    wanted = ask_for(site, (site.origin, target), (site.origin,))
    presence = _Presence(site)
    await _copied(site, wanted, presence, within_s=copied_within_s)
    site.progress.say(f"{target.name} catches up")
    await near(site)
    wanted = ask_for(site, (site.origin, site.target), (site.origin, site.target))
    await settled(site, wanted, unless=presence.check)
    await asyncio.sleep(FOLLOWED_S)  # every process watches both servers then


async def near(site: Site) -> None:
    """Wait until the standby follows with little lag. Raise MoveError when it stays behind."""
    patience = _Patience(site)

    async def check() -> bool:
        try:
            found = await site.primary.ask(lambda each: servers.following(each, site.target.name))
            if not patience.near(found):
                return False
            paused = await site.standby.ask(servers.replay_paused)
        except LOST as error:
            patience.silent(f"no answer: {error}", UNCONNECTED_S)
            return False
        if paused:
            raise _behind(site, "its replay is paused", "SELECT pg_wal_replay_resume() there")
        return True

    await until(site, check, within_s=NEAR_WITHIN_S, saying="catching up")


class _Presence:
    """Whether the standby goes on following once it has begun to."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._asked_at_s = 0.0
        self._seen_at_s: float | None = None

    async def check(self) -> None:
        """Raise MoveError when it followed and is not connected for long; it died, or is frozen.

        Asks at most every `PRESENCE_S`: the old server has other work.
        """
        now_s = time.monotonic()
        if now_s < self._asked_at_s + PRESENCE_S:
            return
        self._asked_at_s = now_s
        try:
            found = await self._site.primary.ask(
                lambda each: servers.following(each, self._site.target.name)
            )
        except LOST:
            return  # the old server itself restarts
        if found is not None and found.lag_bytes >= 0:  # the copy's own stream replays nothing
            self._seen_at_s = now_s
        elif self._seen_at_s is not None and now_s > self._seen_at_s + UNCONNECTED_S:
            try_ = f"millions logs --unit {self._site.target.name}"
            raise _behind(self._site, "it is not connected any more", try_)


class _Patience:
    """How near a standby has come, and since when it comes no nearer."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._least_bytes = -1
        self._since_s = time.monotonic()

    def near(self, found: Following | None) -> bool:
        """Whether it is near. Raise MoveError when it was not connected, or no nearer, for long."""
        if found is None:
            self.silent("it is not connected", UNCONNECTED_S)
            return False
        if found.state == "streaming" and 0 <= found.lag_bytes <= NEAR_BYTES:
            return True
        if self._least_bytes < 0 or found.lag_bytes < self._least_bytes:
            self._least_bytes, self._since_s = found.lag_bytes, time.monotonic()
        self.silent(f"it is {found.state} and {found.lag_bytes // 1024} KiB behind")
        return False

    def silent(self, said: str, bound_s: float = STUCK_S) -> None:
        """Raise MoveError when nothing came nearer for `bound_s`."""
        if time.monotonic() > self._since_s + bound_s:
            raise _behind(self._site, said, f"millions logs --unit {self._site.target.name}")


def _write_follow(site: Site, move: Move) -> None:
    """Say in the new unit's data folder whom it copies and follows."""
    address = address_of(site.origin)
    text = standby.follow(
        host=address.host,
        port=address.port,
        role=standby.REPLICATION_ROLE,
        slot=move.slot,
        name=site.target.name,
    )
    site.state.prepare()
    site.state.prepare_unit(site.target.name, holds_data=True)
    files.write(site.data(site.target) / standby.FOLLOW_FILE, text, owner=site.state.account)


def _patient(unit: Unit, timeout_s: float) -> Unit:
    """The unit with time for its copy; its revision is the same."""
    prepare = tuple(dataclasses.replace(each, timeout_s=timeout_s) for each in unit.prepare)
    return dataclasses.replace(unit, prepare=prepare)


async def _copied(site: Site, wanted: Desired, presence: _Presence, *, within_s: float) -> None:
    """Wait until the copy is made and answers; say how far it is."""
    said = -1

    async def check() -> bool:
        nonlocal said
        unit = told(site, site.target.name, wanted.generation)
        if unit is not None and unit.phase == "ready":
            return True
        if unit is not None and unit.phase == "failing":
            raise failed(unit)
        await presence.check()
        try:
            found = await site.primary.ask(servers.copying)
        except LOST:
            return False
        tenth = found.done * 10 // found.total if found is not None and found.total else -1
        if found is not None and tenth > said:
            said = tenth
            site.progress.say(f"copied {found.done // MIB} of {found.total // MIB} MiB")
        return False

    await until(site, check, within_s=within_s + 60.0, saying="the copy")


def _behind(site: Site, because: str, try_: str) -> MoveError:
    return MoveError(
        cannot=f"let {site.target.name} take over from {site.origin.name}",
        because=f"it does not follow closely enough: {because}; nothing was changed",
        try_=try_,
    )
