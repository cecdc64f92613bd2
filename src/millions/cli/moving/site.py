"""One move at work: the two units, the two servers, and what should run at each step.

It writes what should run and waits; which step follows is the table's to say.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from millions import stack as stacks
from millions.cli import changing, editing, placed
from millions.cli.engines import engines
from millions.cli.moving.servers import Server
from millions.cli.running import release_of
from millions.directory import Endpoint
from millions.errors import MoveError, NotRunningError
from millions.runtime import codec, processes, supervisor
from millions.runtime import desired as desireds
from millions.runtime import status as statuses
from millions.runtime.ledger import RECORD
from millions.runtime.record import TRY, UnitRecord
from millions.tiers.database import ADMINISTRATION_SECRET, POSTGRESQL, unit_name

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from millions.cli.moving.record import Move
    from millions.cli.opened import Opened
    from millions.cli.progress import Progress
    from millions.directory import Directory, Shard
    from millions.model import Address, Unit
    from millions.runtime.desired import Desired
    from millions.runtime.state import StateFolder
    from millions.runtime.status import UnitStatus

TIER = "database"
LOOK_S = 0.02
WATCH_S = 1.0
"""Between two looks whether the supervisor lives."""

RUNG = 2
"""The first rung whose database has a server of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where a move happens. `origin` and `target` are the units, as they are and shall be.

    `programs` is the folder of PostgreSQL's programs.
    """

    opened: Opened
    progress: Progress
    origin: Unit
    target: Unit
    primary: Server
    standby: Server
    programs: str

    @property
    def state(self) -> StateFolder:
        """The state folder of the stack."""
        return self.opened.state

    def data(self, unit: Unit) -> Path:
        """The data folder of a unit."""
        return self.state.unit(unit.name) / "data"

    async def close(self) -> None:
        """Close the connections."""
        await self.primary.close()
        await self.standby.close()


def site(opened: Opened, move: Move, progress: Progress) -> Site:
    """Answer the place of `move`. Raise StackFileError when its numbers fit no stack."""
    running = changing.current(opened.state)
    release = release_of(running)
    target = unit(opened, move.target, release=release, memory_mib=move.memory_mib)
    origin = unit(opened, move.origin, release=release)
    for each in running.units if running is not None else ():
        if each.name == origin.name:
            origin = each
    secret = administration(opened.state)
    return Site(
        opened=opened,
        progress=progress,
        origin=origin,
        target=target,
        primary=Server(address_of(origin), secret),
        standby=Server(address_of(target), secret),
        programs=next(
            each.folder for each in engines(opened.stack) if each.name == POSTGRESQL.name
        ),
    )


def administration(state: StateFolder) -> Path:
    """The file that holds the password of the database's administrator."""
    return state.secrets / ADMINISTRATION_SECRET


def first_unit() -> str:
    """The name of the database's unit in a stack that was never moved."""
    return unit_name(1)


def unit(opened: Opened, server: int, *, release: str, memory_mib: int = 0) -> Unit:
    """Answer the database's unit as it is when the stack names `server`. StackFileError if none."""
    said = {"server": server, **({"memory_mib": memory_mib} if memory_mib else {})}
    table = opened.stack.tables[TIER].model_copy(update=said)
    stack = dataclasses.replace(opened.stack, tables={**opened.stack.tables, TIER: table})
    moved = dataclasses.replace(opened, stack=stack)
    places = placed.places(moved, release=release)
    return next(each for each in stacks.units(stack, places) if each.tier == TIER)


def text_with(text: str, server: int, memory_mib: int = 0) -> str:
    """Answer the text of a stack file with the database on `server`."""
    if stacks.parse(text).rung < RUNG:
        text = editing.changed(text, None, "rung", RUNG)
    text = editing.changed(text, TIER, "server", server)
    return editing.changed(text, TIER, "memory_mib", memory_mib) if memory_mib else text


def address_of(unit: Unit) -> Address:
    """Answer the address of a database's unit, which has one."""
    if unit.address is None:
        raise MoveError(
            cannot=f"move {unit.name}", because="it has no address", try_="millions plan"
        )
    return unit.address


def ask_for(
    site: Site,
    databases: tuple[Unit, ...],
    members: tuple[Unit, ...],
    *,
    held: bool = False,
    consent: tuple[str, ...] = (),
) -> Desired:
    """Write what should run (durable, at once): these database units, these in the directory.

    The first of `members` is named as the primary. Everything else stays as it is wanted now.
    """
    former = changing.last(site.state)
    if former is None:
        raise NotRunningError(
            cannot="move the database", because="the stack has never run", try_="millions up"
        )
    others = tuple(_needing(each, databases) for each in former.units if each.tier != TIER)
    place = next((at for at, each in enumerate(former.units) if each.tier == TIER), 0)
    wanted = dataclasses.replace(
        former,
        generation=former.generation + 1,
        units=(*others[:place], *databases, *others[place:]),
        directory=_directory(former.directory, members, held=held),
        secrets=former.secrets or site.opened.stack.secrets,
        consent=consent,
    )
    desireds.write(site.state.desired, wanted)
    with suppress(ProcessLookupError):
        os.kill(supervisor.ensure(site.state), signal.SIGHUP)
    return wanted


def _needing(unit: Unit, databases: tuple[Unit, ...]) -> Unit:
    """The unit, where it needs a database's unit by name, with one that is wanted now."""
    names = [each.name for each in databases]
    needs = tuple(
        names[0] if need.startswith(f"{TIER}.") and need not in names else need
        for need in unit.needs
    )
    return unit if needs == unit.needs else dataclasses.replace(unit, needs=needs)


async def until(
    site: Site, check: Callable[[], Awaitable[bool]], *, within_s: float, saying: str
) -> None:
    """Look until `check` is true; keep a supervisor alive meanwhile. Raise MoveError when late."""
    deadline_s = time.monotonic() + within_s
    watched_s = time.monotonic()
    while not await check():
        now_s = time.monotonic()
        if now_s > deadline_s:
            raise late(saying, within_s)
        if now_s > watched_s + WATCH_S:
            watched_s = now_s
            supervisor.ensure(site.state)
        await asyncio.sleep(LOOK_S)


def late(saying: str, within_s: float) -> MoveError:
    """The error for what did not come true in time."""
    return MoveError(
        cannot="move the database",
        because=f"{saying} took longer than {within_s:g} s",
        try_="millions status, millions logs",
    )


async def settled(
    site: Site,
    wanted: Desired,
    *,
    patience_s: float = 0.0,
    unless: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Wait until what should run does. Raise what a unit says that fails, after `patience_s`.

    What `unless` raises ends the wait.
    """
    bound_s = changing.bound_s(wanted.units)
    patient_until_s = time.monotonic() + patience_s

    async def check() -> bool:
        if unless is not None:
            await unless()
        status = statuses.read(site.state.status)
        if status is None or status.generation != wanted.generation:
            return False
        site.progress.show(status)
        if status.failed and time.monotonic() > patient_until_s:
            raise failed(next(each for each in status.units if each.name == status.failed[0]))
        return status.settled

    await until(site, check, within_s=bound_s, saying="settling")


def told(site: Site, name: str, generation: int) -> UnitStatus | None:
    """What is told of a unit; None while an older wish is told about, or nothing."""
    status = statuses.read(site.state.status)
    if status is None or status.generation != generation:
        return None
    return next((each for each in status.units if each.name == name), None)


def kill(site: Site, name: str) -> None:
    """SIGKILL what runs of a unit, also what prepares it (blocking, bounded)."""
    record = codec.read(UnitRecord, site.state.unit(name) / RECORD, try_=TRY)
    if record is None:
        return
    found = [each.identity for each in (record.preparing, *record.processes) if each is not None]
    for identity in found:
        if identity is not None:
            processes.wait_gone(processes.kill_tree(identity))


def failed(unit: UnitStatus) -> MoveError:
    """The error for a unit that did not start."""
    return MoveError(
        cannot="move the database",
        because=f"{unit.name} failed: {unit.why or 'it did not become ready'}",
        try_=f"millions logs --unit {unit.name}",
    )


def _directory(
    former: Directory | None, members: tuple[Unit, ...], *, held: bool
) -> Directory | None:
    if former is None:
        return None
    database = former.database
    shards = tuple(_shard(each, members, held=held) for each in database.shards)
    return dataclasses.replace(former, database=dataclasses.replace(database, shards=shards))


def _shard(former: Shard, members: tuple[Unit, ...], *, held: bool) -> Shard:
    places = [Endpoint(host=at.host, port=at.port) for at in map(address_of, members)]
    return dataclasses.replace(former, primary=places[0], replicas=tuple(places[1:]), held=held)
