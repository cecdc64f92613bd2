"""What a change would do to the copies of the database: nothing may drop the newest one.

Looks only; refuses before anything is changed. What runs is asked, what does not is read.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from millions.cli import members
from millions.errors import DataRefusedError, MachineError
from millions.programs.member import STANDALONE, controls, founder

if TYPE_CHECKING:
    from collections.abc import Callable

    from millions.cli.opened import Opened
    from millions.model import Unit
    from millions.runtime.desired import Desired

TIER = "database"
DATA = "data/postgresql"
MIB = 1_048_576
ROOM_FACTOR = 1.2
"""The copy, and the WAL that is written meanwhile."""


def size_of(folder: Path) -> int:
    """What a folder takes on the disk, in bytes; files that vanish meanwhile count nothing."""
    total = 0
    for root, _folders, files in os.walk(folder):
        for name in files:
            try:
                total += (Path(root) / name).lstat().st_blocks * 512
            except OSError:
                continue
    return total


def before_change(opened: Opened, former: Desired | None, wanted: Desired) -> None:
    """Raise for a change that drops the newest data, or asks for copies without room for them."""
    keep = tuple(each for each in wanted.units if each.tier == TIER)
    if not keep:
        return
    if members.units(former):
        _running(former, keep)
    else:
        _resting(opened, keep)
    fits(opened, wanted.units)


def fits(opened: Opened, units: tuple[Unit, ...], size: Callable[[Path], int] = size_of) -> None:
    """Raise MachineError where this machine lacks memory for the servers, or room for new copies.

    Asks nobody: it may be known long before the change. `size` says how large a folder is.
    """
    keep = tuple(each for each in units if each.tier == TIER)
    if keep:
        _memory(opened, keep)
        _room(opened, keep, size)


def _running(former: Desired | None, keep: tuple[Unit, ...]) -> None:
    """Who leads must stay, and everything that stays alone must be who leads."""
    names = [each.name for each in keep]
    dropped = [each.name for each in members.units(former) if each.name not in names]
    alone = not any(each.lease for each in keep)
    if not dropped and not alone:
        return
    found = members.confirmed(former, members.members(former))
    leads = members.leader(found)
    if leads not in names:
        complete = [each.name for each in found if each.complete and each.name in names]
        raise DataRefusedError(
            cannot=f"drop {', '.join(dropped)}",
            because=f"{leads} leads and has the newest data"
            if leads
            else "nobody leads at the moment, so nobody knows whose data is newest",
            try_=f"millions switchover --to {complete[0] if complete else names[0]}, then again",
        )
    others = [each for each in found if each.name in names and not each.leads]
    if not alone and others and not any(each.complete for each in others):
        raise DataRefusedError(
            cannot=f"drop {', '.join(dropped)}",
            because=f"of those that stay only {leads} has all that was acknowledged",
            try_="wait until millions status says ready, then again",
        )


def _resting(opened: Opened, keep: tuple[Unit, ...]) -> None:
    """Nothing runs as a member: by what the data folders say of themselves."""
    folders = {each.name: each / "data" for each in opened.state.units.iterdir()}
    names = [each.name for each in keep]
    found = controls(_programs(keep), folders)
    alone = any((folders[name] / STANDALONE).exists() for name in names if name in found)
    if len(found) <= 1 or found.keys() <= set(names) or alone:
        return
    newest = founder("", found)
    if newest in names:
        return
    raise DataRefusedError(
        cannot=f"run the database on {', '.join(names)} only",
        because=f"{newest} has the newest data" if newest else "nobody knows whose data is newest",
        try_=f"rung = 4, millions up, then millions switchover --to {names[0]}",
    )


def _programs(keep: tuple[Unit, ...]) -> str:
    """The folder of PostgreSQL's programs: the first of the unit's PATH."""
    return dict(keep[0].environment)["PATH"].split(os.pathsep)[0]


def _memory(opened: Opened, keep: tuple[Unit, ...]) -> None:
    each_mib = int(getattr(opened.stack.tables[TIER], "memory_mib", 0))
    machine_mib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // MIB
    if len(keep) * each_mib > machine_mib:
        fits = machine_mib // each_mib - 1
        raise MachineError(
            cannot=f"run {len(keep)} servers of the database here",
            because=f"each is tuned for {each_mib} MiB, and this machine has {machine_mib}",
            try_=f"[database] memory_mib = {machine_mib // len(keep) // 2}"
            + (f", or replicas = {fits}" if fits > 0 else ""),
        )


def _room(opened: Opened, keep: tuple[Unit, ...], size: Callable[[Path], int]) -> None:
    """Refuse a new copy that would not fit on the disk."""
    sizes = {each.name: size(opened.state.unit(each.name) / DATA) for each in keep}
    new = [name for name, found in sizes.items() if not found]
    wanted_mib = int(max(sizes.values()) * ROOM_FACTOR * len(new)) // MIB
    free_mib = shutil.disk_usage(opened.state.path).free // MIB
    if wanted_mib > free_mib:
        raise MachineError(
            cannot=f"make the data of {', '.join(new)}",
            because=f"{wanted_mib} MiB are needed in {opened.state.path}, {free_mib} are free",
            try_=f"make room, or replicas = {max(0, len(keep) - len(new) - 1)}",
        )
