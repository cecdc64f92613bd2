"""What the processes of a stack use: CPU time and memory of each tier, read from /proc.

It asks no unit and costs none anything. CPU time counts children that a process has waited for, so
that a short process between two looks is not lost as long as its parent lives.

Source: proc(5): /proc/PID/stat fields 14 to 17, /proc/PID/smaps_rollup.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from millions.runtime import belonging, processes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from millions.runtime.state import StateFolder
    from millions.runtime.status import Status

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
SUPERVISOR = "supervisor"
"""The supervisor stands beside the tiers: it is what watching them costs."""

Group = tuple[str, str]
"""Processes that are counted together: tier and unit. A process whose time goes to its parent when
it ends, as that of PostgreSQL to Patroni, is in one with it, so that nothing counts twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """One tier at one moment. `cpu_s` counts from the first look on and never falls.

    `memory_bytes` counts what processes share once for all of them (proportional set size).
    """

    tier: str
    units: int
    cpu_s: float
    memory_bytes: int


class Meter:
    """Looks at one stack again and again, and adds up what its tiers have used."""

    def __init__(self, state: StateFolder) -> None:
        self._state = state
        self._before: dict[Group, float] | None = None
        self._used: dict[str, float] = {}
        self._memory: dict[str, int] = {}

    def read(self, status: Status | None, *, memory: bool = True) -> tuple[Usage, ...]:
        """Look once (blocking, 10 to 50 ms); `memory` anew, or as it was at the look before."""
        groups = self._groups(status)
        now = {group: sum(map(cpu_s, pids)) for group, pids in groups.items()}
        if status is not None:
            now |= _of_supervisor(status.supervisor_pid)
        self._used = added(self._used, self._before, now)
        self._before = now
        if memory:
            self._memory = {}
            for (tier, _), pids in groups.items():
                self._memory[tier] = self._memory.get(tier, 0) + sum(map(memory_bytes, pids))
        units = Counter(tier for tier, _ in groups)
        return tuple(
            Usage(
                tier=tier,
                units=count,
                cpu_s=self._used.get(tier, 0.0),
                memory_bytes=self._memory.get(tier, 0),
            )
            for tier, count in sorted(units.items())
        )

    def _groups(self, status: Status | None) -> dict[Group, list[int]]:
        tiers = {each.name: each.tier for each in status.units} if status is not None else {}
        groups: dict[Group, list[int]] = {}
        for each in belonging.members(self._state):
            if each.unit:
                tier = tiers.get(each.unit) or each.unit.rpartition(".")[0]
                groups.setdefault((tier, each.unit), []).append(each.identity.pid)
        if status is not None and processes.identify(status.supervisor_pid) is not None:
            groups[(SUPERVISOR, SUPERVISOR)] = [status.supervisor_pid]
        return groups


def added(
    used: Mapping[str, float], before: Mapping[Group, float] | None, now: Mapping[Group, float]
) -> dict[str, float]:
    """Answer what each tier has used by now, in seconds: what its groups gained since `before`.

    A group that is new has gained all it has; what one that is gone gained last is lost. With no
    look before, this is the first one and nothing is gained.
    """
    found = dict(used)
    for group, seconds in now.items():
        former = seconds if before is None else before.get(group, 0.0)
        found[group[0]] = found.get(group[0], 0.0) + max(0.0, seconds - former)
    return found


def _of_supervisor(pid: int) -> dict[Group, float]:
    """The supervisor's own time: its children are the units, counted by themselves."""
    if processes.identify(pid) is None:
        return {}
    return {(SUPERVISOR, SUPERVISOR): cpu_s(pid, children=False)}


def cpu_s(pid: int, *, children: bool = True) -> float:
    """CPU time of a process, with that of children it has waited for; 0 when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123  # called often
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11 : 15 if children else 13])) / TICKS_PER_S


def memory_bytes(pid: int) -> int:
    """Memory of a process, its part of what it shares with others; 0 when it is gone."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    except OSError:
        return 0
    for line in text.splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0
