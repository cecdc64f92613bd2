"""Executing: one verb for each action, done to this machine. It holds no policy.

Starts are done at once; stops and preparations run as tasks. Whatever goes wrong is recorded as
trouble of the unit's revision, for the planner to see.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from typing import TYPE_CHECKING

from millions.errors import MillionsError
from millions.model import (
    Action,
    Address,
    Erase,
    Forget,
    Phase,
    Prepare,
    Reload,
    Share,
    Start,
    Stop,
    Unit,
)
from millions.runtime import burial, pidfiles, preparing, sockets, spawn, stopping, telling
from millions.runtime.record import ProcessRecord

if TYPE_CHECKING:
    from millions.runtime.crew import Crew


def execute(crew: Crew, action: Action) -> None:
    """Do `action`, or begin to."""
    match action:
        case Start():
            start(crew, action)
        case Stop():
            process = crew.ledger.process(action.unit, action.number)
            if process is not None and process.phase is not Phase.STOPPING:
                blame = action.why if action.failed else ""
                stopping.begin(crew, action, blame=blame)
        case Prepare():
            preparing.begin(crew, action.unit, action.spec, action.preparation, why=action.why)
        case Reload() | Share():
            telling.begin(crew, action)
        case Forget():
            crew.ledger.drop(action.unit)
            crew.journals.close(action.unit)
        case Erase():
            erase(crew, action.unit)
        case _:
            raise NotImplementedError(f"no verb for {action}")


def start(crew: Crew, action: Start) -> None:
    """Start one process. What keeps it from starting becomes trouble of its revision."""
    spec, name = action.spec, action.unit
    number = crew.ledger.get(name).starts + 1
    try:
        crew.state.prepare_unit(name, holds_data=spec.holds_data)
        for each in crew.ledger.get(name).processes:
            crew.listeners.adopt(name, each)  # it may not have been there to give them before
        servers = tuple(crew.listeners.get(name, each) for each in spec.public)
        address = _private_address(crew, spec)
        if address is not None and pidfiles.living(crew.state, spec) is None:
            sockets.check_free(address)
        journal = crew.journals.of(name, spec)
        output = journal.open_raw(
            number,
            f"starts: {action.why}",
            release=spec.release,
            revision=spec.revision,
        )
    except (MillionsError, OSError) as error:
        burial.blame(crew, name, spec.revision, words=str(error), grave=True)
        return
    handover = str(crew.state.run / f"{name}.{number}.listen") if spec.public else ""
    _intend(crew, spec, number, address=address, handover=handover)
    launch = spawn.Launch(
        state=crew.state,
        spec=spec,
        number=number,
        output=output,
        address=address,
        handover=handover,
    )
    try:
        identity = spawn.launch(launch, servers=servers)
    except MillionsError as error:
        _withdraw(crew, name, number)
        burial.blame(crew, name, spec.revision, words=str(error), grave=True)
        return
    finally:
        spawn.close(output)
    crew.ledger.change_process(name, number, identity=identity)
    crew.watch.begin(name, number, identity)


def erase(crew: Crew, name: str) -> None:
    """Erase the folder of a unit, with its data and its log."""
    crew.journals.close(name)
    crew.ledger.drop(name)
    preparing.forget(crew.state)
    aside = crew.state.put_aside(name)
    crew.spawn_task(asyncio.to_thread(shutil.rmtree, aside, ignore_errors=True))


def finish_erasing(crew: Crew) -> None:
    """Erase what an earlier supervisor had put aside for that."""
    for aside in crew.state.erased.iterdir() if crew.state.erased.is_dir() else ():
        crew.spawn_task(asyncio.to_thread(shutil.rmtree, aside, ignore_errors=True))


def _intend(crew: Crew, spec: Unit, number: int, *, address: Address | None, handover: str) -> None:
    """Record a start before it is made: a supervisor that dies between leaves no stranger."""
    now_s = time.time()
    process = ProcessRecord(
        number=number,
        spec=spec,
        since_s=now_s,
        changed_s=now_s,
        address=address,
        handover=handover,
    )
    record = crew.ledger.get(spec.name)
    crew.ledger.change(
        spec.name,
        starts=number,
        generation=crew.generation,
        processes=(*record.processes, process),
    )


def _withdraw(crew: Crew, name: str, number: int) -> None:
    record = crew.ledger.get(name)
    crew.ledger.change(
        name, processes=tuple(each for each in record.processes if each.number != number)
    )


def _private_address(crew: Crew, spec: Unit) -> Address | None:
    """The unit's address; for a handover the next port when the other process has the first."""
    if spec.address is None or not spec.handover:
        return spec.address
    taken = {each.address for each in crew.ledger.get(spec.name).processes}
    second = Address(host=spec.address.host, port=spec.address.port + 1)
    return second if spec.address in taken else spec.address
