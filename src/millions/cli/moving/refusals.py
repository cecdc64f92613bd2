"""What is looked at before a move: everything that would make it fail, or lose something.

Changes nothing. Each refusal is one error; what is only to be known is answered as notes.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from typing import TYPE_CHECKING

import psutil  # type: ignore[import-untyped]

from millions.cli.moving import servers
from millions.cli.moving.site import TIER, Site, address_of, unit
from millions.cli.running import look
from millions.errors import DataRefusedError, MachineError, MoveError, StackFileError
from millions.runtime import sockets
from millions.tiers import postgresql_standby as standby
from millions.tiers.database import SERVERS, Database, unit_name
from millions.tiers.postgresql import BUFFERS_SHARE

if TYPE_CHECKING:
    from pathlib import Path

    from millions.cli.moving.record import Move
    from millions.cli.opened import Opened
    from millions.runtime.state import StateFolder

CONSENSUS = "consensus"
"""The tier with which the database's servers agree who leads; they move by themselves."""

WELL_WITHIN_S = 10.0
"""A change that is under way, such as a folder that was erased, is over by then."""

LOOK_S = 0.1
MIB = 1_048_576
ROOM_FACTOR = 1.2
"""The copy, and the WAL that is written meanwhile."""


def of_the_command(opened: Opened, wanted: Move) -> None:
    """Refuse what the stack file and the machine already forbid."""
    of_the_plan(opened, wanted)
    _data(opened.state, wanted.target)
    _memory(wanted.memory_mib or table(opened).memory_mib)


def of_the_plan(opened: Opened, wanted: Move) -> None:
    """Refuse what the stack file already forbids."""
    if CONSENSUS in opened.stack.tables:
        raise MoveError(
            cannot=f"move the database to server {wanted.target}",
            because="it has replicas, each on a server of its own, that take over from each other",
            try_="rung = 3 and millions up; then the move",
        )
    if not 1 <= wanted.target <= SERVERS:
        raise StackFileError(
            cannot=f"move the database to server {wanted.target}",
            because=f"servers of the database have the numbers 1 to {SERVERS}",
            try_="millions move database --to 2",
        )
    if wanted.target == wanted.origin:
        raise StackFileError(
            cannot=f"move the database to server {wanted.target}",
            because="it is there",
            try_="another number; or memory_mib in the stack file and millions up, which restarts "
            "it where it is",
        )


async def of_the_stack(site: Site, wanted: Move) -> None:
    """Refuse to move while the stack is not well, or does not run what its file says."""
    name = site.opened.stack.name
    running = look(site.state)
    patient_until_s = time.monotonic() + WELL_WITHIN_S
    while not running.well:
        if time.monotonic() > patient_until_s:
            raise MoveError(
                cannot=f"move the database of {name}",
                because="not everything of the stack is ready",
                try_="millions status, then millions up",
            )
        await asyncio.sleep(LOOK_S)
        running = look(site.state)
    release = str(running.document()["release"])
    said = unit(site.opened, wanted.origin, release=release)
    if said.revision != site.origin.revision:
        raise MoveError(
            cannot=f"move the database of {name}",
            because="[database] of the stack file says something else than what runs",
            try_="millions up, then the move",
        )
    sockets.check_free(address_of(site.target))


async def of_the_server(site: Site) -> tuple[str, ...]:
    """Refuse what the running server forbids; answer what somebody should know."""
    facts = await site.primary.ask_within(servers.facts, within_s=0.0)
    if facts.in_recovery:
        raise MoveError(
            cannot=f"move {site.origin.name}", because="it is a standby", try_="millions status"
        )
    if facts.logical_slots:
        raise MoveError(
            cannot=f"move {site.origin.name}",
            because=f"logical replication reads from it (slot {', '.join(facts.logical_slots)}), "
            "and a slot does not move with the data",
            try_="drop the subscription or the slot, move, then make it again",
        )
    _room(site.state.path, facts.bytes)
    notes: list[str] = []
    if facts.long_transactions:
        notes.append(
            f"{facts.long_transactions} transactions have run for more than {servers.LONG_S:g} s; "
            "those that still run at the end are cut off"
        )
    if facts.prepared:
        notes.append(f"{facts.prepared} prepared transactions move along")
    return tuple(notes)


def table(opened: Opened) -> Database:
    """The settings of the database."""
    found = opened.stack.tables.get(TIER)
    return found if isinstance(found, Database) else Database()


def former_homes(opened: Opened) -> tuple[str, ...]:
    """The units whose data an earlier move took elsewhere and that keep their copy of it."""
    here = table(opened).server
    names = (unit_name(number) for number in range(1, SERVERS + 1) if number != here)
    return tuple(
        name for name in names if (opened.state.unit(name) / "data" / standby.MOVED_FOLDER).is_dir()
    )


def _data(state: StateFolder, server: int) -> None:
    name = unit_name(server)
    data = state.unit(name) / "data"
    if (data / standby.MOVED_FOLDER).is_dir():
        raise DataRefusedError(
            cannot=f"move the database to server {server}",
            because=f"{data} keeps what was there before an earlier move",
            try_="millions move database --erase-former, which erases it; then the move",
        )
    if (data / standby.DATA_FOLDER).exists():
        raise DataRefusedError(
            cannot=f"move the database to server {server}",
            because=f"{data} holds a data folder that this stack does not use",
            try_=f"look what it is; rm -r {data}, or another server",
        )


def _memory(memory_mib: int) -> None:
    found = psutil.virtual_memory()
    if memory_mib * MIB > found.total:
        raise MachineError(
            cannot=f"give the database {memory_mib} MiB",
            because=f"this machine has {found.total // MIB} MiB",
            try_=f"--memory {found.total // MIB // 2}",
        )
    if memory_mib * MIB * BUFFERS_SHARE > found.available:
        raise MachineError(
            cannot=f"give the database {memory_mib} MiB",
            because=f"a quarter of it are its own buffers, and {found.available // MIB} MiB are "
            "free now, while the old server still runs",
            try_="less --memory, or make room",
        )


def _room(folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < size * ROOM_FACTOR:
        raise MachineError(
            cannot="copy the database",
            because=f"it has {size // MIB} MiB, and {free // MIB} MiB are free in {folder}; "
            f"{ROOM_FACTOR:g} times its size is needed",
            try_="df -h, then make room",
        )
