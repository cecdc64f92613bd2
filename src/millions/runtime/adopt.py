"""Adopting: a new supervisor takes over what an earlier one started.

It restarts nothing that is well and starts nothing itself. A process that was being started, or
stopped, when the earlier supervisor died is found and followed to its end.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from millions.model import Phase
from millions.runtime import belonging, burial, preparing, processes, stopping, telling

if TYPE_CHECKING:
    from millions.runtime.belonging import Member
    from millions.runtime.crew import Crew
    from millions.runtime.processes import Identity
    from millions.runtime.record import ProcessRecord


def adopt(crew: Crew) -> int:
    """Take over every process in the ledger that lives; bury the others. How many live."""
    strangers = belonging.members(crew.state)
    living = 0
    for record in crew.ledger.records():
        crew.state.prepare_unit(record.name, holds_data=False)
        for process in record.processes:
            living += _adopt(crew, record.name, process, strangers)
        if record.preparing is not None:
            running = record.preparing
            identity = running.identity or _found(strangers, record.name, running.number)
            identified = dataclasses.replace(running, identity=identity)
            crew.ledger.change(record.name, preparing=identified)
            preparing.resume(crew, record.name)
    return living


def _adopt(crew: Crew, name: str, process: ProcessRecord, strangers: tuple[Member, ...]) -> bool:
    """Follow one process; True when it lives."""
    identity = process.identity or _found(strangers, name, process.number)
    crew.journals.of(name, process.spec)
    if identity is None or not processes.alive(identity):
        burial.begin(crew, name, process.number)
        return False
    crew.ledger.change_process(name, process.number, identity=identity)
    crew.listeners.adopt(name, process)
    telling.doubt(crew, name, process)
    crew.watch.begin(name, process.number, identity)
    if process.phase is Phase.STOPPING:
        stopping.resume(crew, name, process.number)
    return True


def _found(strangers: tuple[Member, ...], name: str, number: int) -> Identity | None:
    """The process of a start that was decided but not recorded: the first of its start."""
    found = [each.identity for each in strangers if each.unit == name and each.number == number]
    return min(found, key=lambda each: (each.started, each.pid), default=None)
