"""Cutting over: the old server stops cleanly, the new one is proven to have everything, and leads.

Until the proof everything may be undone. With the proof the data folder of the old server is given
another name, so that nothing can start a second primary on it; only then the new one is promoted.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from millions.cli.moving import control_data, record, servers
from millions.cli.moving.building import near
from millions.cli.moving.draining import PUBLISHED_WITHIN_S, drained, published
from millions.cli.moving.servers import LOST
from millions.cli.moving.site import ask_for, kill, late, told, until
from millions.errors import MoveError
from millions.reconcile.moves import Event
from millions.tiers import postgresql_standby as standby

if TYPE_CHECKING:
    from pathlib import Path

    from millions.cli.moving.control_data import ControlData
    from millions.cli.moving.record import Move
    from millions.cli.moving.site import Site
    from millions.runtime.desired import Desired

STOP_WITHIN_S = 8.0
"""A clean stop takes a fraction of a second after a checkpoint. Clients wait 10 s at most."""

PROVEN_WITHIN_S = 2.0
PROMOTED_WITHIN_S = 60.0
PROCESS_FILE = "postmaster.pid"


async def cut_over(site: Site, move: Move) -> Move:
    """Stop the old server and prove that the new one has everything. Raise MoveError, undo then."""
    site.progress.say("writes a checkpoint")
    await site.primary.ask_within(servers.checkpoint)
    await near(site)
    members = (site.origin, site.target)
    move = record.advance(site.state, move, Event.CAUGHT_UP)
    site.progress.say("hands over")
    began_s = time.monotonic()
    ask_for(site, members, members, held=True)
    if not await published(site.state):
        raise late("writing the directory", PUBLISHED_WITHIN_S)
    await drained(site.primary)
    wanted = ask_for(site, (site.target,), members, held=True)
    await _stopped(site, wanted)
    await _proven(site)
    move = record.advance(site.state, move, Event.PROVEN)
    return await promote(site, move, began_s=began_s)


async def promote(site: Site, move: Move, *, began_s: float = 0.0) -> Move:
    """Fence the old server and let the new one lead; may be repeated after any crash."""
    fence(site)

    async def check() -> bool:
        try:
            return await site.standby.ask(servers.promote)
        except LOST:
            return False

    await until(site, check, within_s=PROMOTED_WITHIN_S, saying="the promotion")
    ask_for(site, (site.target,), (site.target,))
    gap_s = time.monotonic() - began_s if began_s else 0.0
    return record.advance(site.state, move, Event.PROMOTED, gap_s=gap_s)


def fence(site: Site) -> None:
    """Give the old data folder a name under which no server starts; done already is as good."""
    data = site.data(site.origin)
    living, moved = data / standby.DATA_FOLDER, data / standby.MOVED_FOLDER
    if living.exists():
        living.rename(moved)
        _sync(data)


async def _stopped(site: Site, wanted: Desired) -> None:
    """Wait until the old server has stopped. When it cannot, the standby is cut off and it can."""
    lock = site.data(site.origin) / standby.DATA_FOLDER / PROCESS_FILE

    async def check() -> bool:
        if not lock.exists():
            return True
        unit = told(site, site.origin.name, wanted.generation)
        return unit is not None and unit.pid is None

    try:
        await until(site, check, within_s=STOP_WITHIN_S, saying=f"the stop of {site.origin.name}")
    except MoveError:
        kill(site, site.target.name)  # else the old server would wait for it before it stops
        raise


async def _proven(site: Site) -> None:
    """Prove by the engines' own words that nothing of the old server is missing in the new one."""
    old = _control(site)
    if not old.stopped_cleanly:
        raise _incomplete(site, f"{site.origin.name} did not stop cleanly: it is {old.state!r}")
    said = ""

    async def check() -> bool:
        nonlocal said
        try:
            system = await site.standby.ask(servers.system_identifier)
            if system != old.system:
                raise _incomplete(site, f"its system is {system}, the other's {old.system}")
            if not await site.standby.ask(servers.is_standby):
                raise _incomplete(site, "it is a primary already")
            return await site.standby.ask(lambda each: servers.replayed_past(each, old.checkpoint))
        except LOST as error:
            said = f" ({error})"
            return False

    try:
        await until(site, check, within_s=PROVEN_WITHIN_S, saying="replay")
    except MoveError as error:
        if error.because.startswith("replay took"):
            missing = f"it has not replayed the end of the WAL, {old.checkpoint}{said}"
            raise _incomplete(site, missing) from error
        raise


def _control(site: Site) -> ControlData:
    return control_data.read(site.programs, site.data(site.origin) / standby.DATA_FOLDER)


def _incomplete(site: Site, because: str) -> MoveError:
    return MoveError(
        cannot=f"let {site.target.name} take over from {site.origin.name}",
        because=f"it is not proven to have everything: {because}; {site.origin.name} goes on",
        try_=f"millions logs --unit {site.target.name}, then the move again",
    )


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
