"""Copies of the database that are left of servers which run no more, and what proves them needless.

Erases nothing.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from millions.cli import changing, members
from millions.cli.engines import engines
from millions.cli.moving import control_data, history, site
from millions.cli.moving.servers import Server
from millions.tiers import postgresql_standby as standby
from millions.tiers.database import POSTGRESQL, SERVERS, unit_name

if TYPE_CHECKING:
    from pathlib import Path

    from millions.cli.moving.control_data import ControlData
    from millions.cli.opened import Opened
    from millions.model import Unit
    from millions.runtime.state import StateFolder


@dataclass(frozen=True, slots=True, kw_only=True)
class Copies:
    """Names of units that hold a copy: `contained` in the server that runs, or not surely so."""

    contained: tuple[str, ...] = ()
    others: tuple[str, ...] = ()


def copies(opened: Opened) -> Copies:
    """Find the copies, and ask the server that runs which of them it has all of (blocking).

    None where the database has members: their copies are theirs.
    """
    desired = changing.current(opened.state)
    units = [each for each in (desired.units if desired else ()) if each.tier == site.TIER]
    if not units or members.units(desired):
        return Copies()
    programs = next(each.folder for each in engines(opened.stack) if each.name == POSTGRESQL.name)
    found = {
        name: control_data.read(programs, folder)
        for name in map(unit_name, range(1, SERVERS + 1))
        if name != units[0].name and (folder := _folder(opened.state, name)) is not None
    }
    contained = asyncio.run(_contained(opened.state, units[0], found)) if found else ()
    return Copies(contained=contained, others=tuple(found.keys() - set(contained)))


def has_data(state: StateFolder, server: int) -> bool:
    """Whether the data folder of this server is one to run on: neither missing nor left behind."""
    return (state.unit(unit_name(server)) / "data" / standby.DATA_FOLDER).is_dir()


def _folder(state: StateFolder, name: str) -> Path | None:
    data = state.unit(name) / "data"
    for folder in (data / standby.DATA_FOLDER, data / standby.MOVED_FOLDER):
        if (folder / "global" / "pg_control").exists():
            return folder
    return None


async def _contained(
    state: StateFolder, unit: Unit, found: dict[str, ControlData]
) -> tuple[str, ...]:
    """The names of those whose data is on the history of the running server, and was passed."""
    server = Server(site.address_of(unit), site.administration(state))
    try:
        had = await server.ask_within(history.ask)
        return tuple(name for name, control in found.items() if had.has(control))
    finally:
        await server.close()
