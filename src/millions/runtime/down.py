"""Down: stop everything of a stack, and prove that nothing is left.

Works without a supervisor, with damaged records and with processes that stopped themselves or left
their parents. Data is erased only with consent.

Source: `notes/database.md` for the kill.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from millions.errors import MachineError, StateError
from millions.model import StopStep
from millions.runtime import belonging, codec, desired, pidfiles, preparing, processes, supervisor
from millions.runtime.collect import Collector
from millions.runtime.desired import Desired
from millions.runtime.journals import LIMIT_MIB, MIB
from millions.runtime.ledger import RECORD
from millions.runtime.record import TRY, UnitRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from millions.runtime.processes import Identity
    from millions.runtime.state import StateFolder

SUPERVISOR_WAIT_S = 5.0
"""How long the supervisor may take to leave after SIGTERM; then it is killed."""

SWEEPS_MAX = 50
"""Searches for what is left. Each kills all that it finds: many of them mean a fork bomb."""

STOP = (StopStep(signal="SIGTERM", wait_s=10.0),)
"""How a process is stopped whose unit's record is lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A main process of a unit that is to be stopped."""

    unit: str
    identity: Identity
    steps: tuple[StopStep, ...]
    needs: tuple[str, ...]
    group: str = ""


def stop_all(
    state: StateFolder,
    consent: Iterable[str] = (),
    *,
    progress: Callable[[str], None] = lambda _said: None,
) -> tuple[str, ...]:
    """Stop the whole stack (blocking, bounded by the units' stop steps); the names of what ran.

    `consent` names units whose folders are erased afterwards. Raise MachineError when a process
    outlives SIGKILL.
    """
    end_supervisor(state)
    lock = supervisor.take(state)  # so that none is started meanwhile
    try:
        names = _stop_in_order(state, progress)
        _sweep(state)
        _settle(state, tuple(consent))
    finally:
        if lock is not None:
            os.close(lock)
    return names


def _stop_in_order(state: StateFolder, progress: Callable[[str], None]) -> tuple[str, ...]:
    """Stop the main processes, users before what they use."""
    mains = _mains(state)
    names = tuple(dict.fromkeys(each.unit for each in mains))
    while mains:
        used = {
            need for each in mains for need in each.needs if need not in (each.unit, each.group)
        }
        free = [each for each in mains if not used & {each.unit, each.group or each.unit}] or mains
        for each in free:
            progress(f"stopping {each.unit}")
        _stop(free)
        mains = [each for each in mains if each not in free]
    return names


def end_supervisor(state: StateFolder) -> None:
    """End the supervisor, if one runs; units stay (blocking, bounded)."""
    pid = supervisor.running(state)
    identity = processes.identify(pid) if pid is not None else None
    if identity is None:
        return
    processes.send(identity, signal.SIGTERM)
    processes.send(identity, signal.SIGCONT)
    if not processes.wait_gone((identity,), within_s=SUPERVISOR_WAIT_S):
        processes.send(identity, signal.SIGKILL)
        processes.wait_gone((identity,))


def _mains(state: StateFolder) -> list[Running]:
    """The main processes by record; where a record is lost, by what /proc says."""
    found: list[Running] = []
    known: set[int] = set()
    for record in _records(state):
        for process in record.processes:
            if process.identity is not None and processes.alive(process.identity):
                known.add(process.identity.pid)
                found.append(
                    Running(
                        unit=record.name,
                        identity=process.identity,
                        steps=process.spec.stop,
                        needs=process.spec.needs,
                        group=process.spec.group,
                    )
                )
                daemon = pidfiles.living(state, process.spec)
                if daemon is not None:  # stopped by its unit's process; else it is swept up
                    known.add(daemon.pid)
    for pid in tuple(known):
        known.update(processes.descendants(pid))
    strangers = [each for each in belonging.members(state) if each.identity.pid not in known]
    members = {each.identity.pid for each in strangers}
    for each in strangers:  # the topmost of each lost tree; its children follow it
        entry = processes.entry(each.identity.pid)
        if entry is not None and entry.parent not in members:
            name = each.unit or "(unknown)"
            found.append(Running(unit=name, identity=each.identity, steps=STOP, needs=()))
    return found


def _records(state: StateFolder) -> list[UnitRecord]:
    """Every record that can be read; a damaged one is not needed to stop its unit."""
    found: list[UnitRecord] = []
    if not state.units.is_dir():
        return found
    for folder in sorted(state.units.iterdir()):
        try:
            record = codec.read(UnitRecord, folder / RECORD, try_=TRY)
        except StateError:
            continue
        if record is not None:
            found.append(record)
    return found


def _stop(mains: list[Running]) -> None:
    """Stop some processes side by side, each by its own steps; SIGKILL what stays."""
    waiting: dict[Running, tuple[int, float]] = dict.fromkeys(mains, (0, 0.0))
    while waiting:
        for each, (step, until_s) in tuple(waiting.items()):  # the step reached, and its end
            if not processes.alive(each.identity):
                del waiting[each]
            elif time.monotonic() >= until_s:
                if step == len(each.steps):
                    processes.wait_gone(processes.kill_tree(each.identity))
                    del waiting[each]
                    continue
                processes.send(each.identity, signal.Signals[each.steps[step].signal])
                processes.send(each.identity, signal.SIGCONT)
                waiting[each] = (step + 1, time.monotonic() + each.steps[step].wait_s)
        time.sleep(0.01)


def _sweep(state: StateFolder) -> None:
    """Kill whatever still belongs to the stack until two searches in a row find nothing."""
    clean = 0
    for _sweep_number in range(SWEEPS_MAX):
        found = belonging.members(state)
        clean = clean + 1 if not found else 0
        if clean == 2:  # noqa: PLR2004  # one search can miss a process that is being forked
            return
        for each in found:
            processes.wait_gone(processes.kill_tree(each.identity))
    left = ", ".join(
        f"{processes.name(each.identity.pid)} (pid {each.identity.pid})"
        for each in belonging.members(state)
    )
    raise MachineError(
        cannot=f"stop everything of {state.name}",
        because=f"{left or 'new processes'} outlived {SWEEPS_MAX} rounds of SIGKILL",
        try_="millions down, once the disk answers again",
    )


def _settle(state: StateFolder, consent: tuple[str, ...]) -> None:
    """Leave a state folder that says that nothing runs and nothing should."""
    try:
        former = desired.read(state.desired)
    except StateError:
        former = None
    generation = former.generation + 1 if former is not None else 1
    desired.write(state.desired, Desired(generation=generation))
    state.status.unlink(missing_ok=True)
    state.scaling.unlink(missing_ok=True)
    for folder in state.units.iterdir() if state.units.is_dir() else ():
        _finish_log(folder)
        (folder / RECORD).unlink(missing_ok=True)
    if state.run.is_dir():
        for path in state.run.iterdir():
            if not path.is_dir():
                path.unlink(missing_ok=True)
    for name in consent:
        shutil.rmtree(state.put_aside(name), ignore_errors=True)
    if consent and state.units.is_dir():
        preparing.forget(state)


def _finish_log(folder: Path) -> None:
    """Copy the last lines of what was stopped."""
    if not (folder / "log").is_dir():
        return
    collector = Collector(folder / "log", folder.name, limit_bytes=LIMIT_MIB * MIB)
    for number in collector.numbers():
        collector.finish(number)
    collector.close()
