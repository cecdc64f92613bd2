"""Which processes of this machine belong to a stack, whoever their parent is.

Found by what they cannot lose: the environment they were started with, or, where a program wrote
over it (PostgreSQL does), a working folder inside the unit's. Never counts a person's shell: units
have no terminal.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from millions.runtime import processes

if TYPE_CHECKING:
    from millions.runtime.processes import Identity
    from millions.runtime.state import StateFolder

STACK, DIRECTORY = "MILLIONS_STACK", "MILLIONS_DIRECTORY"
"""Variables that every process of a stack carries: its name and the path of its directory. Two
state roots may hold a stack of the same name; the directory tells them apart."""

UNIT, START = "MILLIONS_UNIT", "MILLIONS_START"
"""Variables that every process of a unit carries; START counts the starts of the unit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A process of the stack; `unit` and `number` (of its start) where they are known."""

    identity: Identity
    unit: str = ""
    number: int = 0


def members(state: StateFolder) -> tuple[Member, ...]:
    """Every living process of the stack (blocking, a few milliseconds), but not ourselves.

    Our own ancestors are left out as well: `millions run sh -c "millions down"` ends not itself.
    """
    ours = _lineage(os.getpid())
    found = (_member(state, pid) for pid in processes.every_pid() if pid not in ours)
    return tuple(each for each in found if each is not None)


def inside(state: StateFolder, unit: str) -> tuple[Identity, ...]:
    """Every living process whose working folder is the unit's or below (blocking, quick).

    A tenth of what `members` takes: when a leader is dead, others wait for this.
    """
    folder = str(state.unit(unit))
    found = (
        processes.identify(pid)
        for pid in processes.every_pid()
        if (processes.working_folder(pid) + "/").startswith(folder + "/") and not _has_terminal(pid)
    )
    return tuple(each for each in found if each is not None)


def leftovers(
    state: StateFolder, unit: str, number: int, *, living: frozenset[int]
) -> tuple[Identity, ...]:
    """What start `number` of a unit left behind. `living` are the pids of its other processes."""
    spared = set(living)
    for pid in living:
        spared.update(processes.descendants(pid))
    return tuple(
        each.identity
        for each in members(state)
        if each.unit == unit and each.number in (number, 0) and each.identity.pid not in spared
    )


def _member(state: StateFolder, pid: int) -> Member | None:
    identity = processes.identify(pid)
    if identity is None:
        return None
    environment = processes.environment(pid)
    ours = (state.name, str(state.directory))
    if (environment.get(STACK), environment.get(DIRECTORY)) == ours:
        number = environment.get(START, "")
        return Member(
            identity=identity,
            unit=environment.get(UNIT, ""),
            number=int(number) if number.isdigit() else 0,
        )
    folder = processes.working_folder(pid)
    inside = str(state.units) + "/"
    if not folder.startswith(inside) or _has_terminal(pid):
        return None
    return Member(identity=identity, unit=folder.removeprefix(inside).split("/")[0])


def _has_terminal(pid: int) -> bool:
    found = processes.entry(pid)
    return found is not None and found.terminal != 0


def _lineage(pid: int) -> frozenset[int]:
    """`pid` and its ancestors."""
    found: set[int] = set()
    while pid > 0 and pid not in found:
        found.add(pid)
        parent = processes.entry(pid)
        pid = parent.parent if parent is not None else 0
    return frozenset(found)
