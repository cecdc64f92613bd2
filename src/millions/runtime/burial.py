"""What is done when a process has ended: its children, its last lines, its unit's trouble.

It decides nothing about what comes next; the planner reads the record.
"""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from millions.model import Phase
from millions.reconcile.backoff import after_failure
from millions.runtime import belonging, deaths, pidfiles, processes, reaper

if TYPE_CHECKING:
    from millions.model import Unit
    from millions.runtime.crew import Crew
    from millions.runtime.processes import Identity
    from millions.runtime.record import ProcessRecord

LAST_LINES = 20
"""How much of its log a failure quotes: a traceback's end fits."""

POLL_S = 0.005


def begin(crew: Crew, name: str, number: int) -> None:
    """Bury a process that has ended."""
    process = crew.ledger.process(name, number)
    if process is None or _goes_on(crew, name, process):
        return
    if process.phase is not Phase.STOPPING:
        said = reaper.said(_code(crew, process))
        crew.ledger.change_process(name, number, phase=Phase.STOPPING, blame=said)
        crew.ledger.change(name, restarts=crew.ledger.get(name).restarts + 1)
        _let_others_answer(crew, name, process.spec)
    crew.spawn_task(_bury(crew, name, number))


def _goes_on(crew: Crew, name: str, process: ProcessRecord) -> bool:
    """Whether a process has ended well and left its unit to its daemon, which is watched then."""
    identity = process.identity
    if identity is None or process.phase is Phase.STOPPING:
        return False
    if not pidfiles.forks(crew.state, process.spec, identity):
        return False
    code = crew.reaper.look(identity.pid)
    daemon = pidfiles.living(crew.state, process.spec)
    if code != 0 or daemon is None:
        return False
    crew.journals.of(name).note("what ran already goes on", start=process.number)
    crew.ledger.change_process(name, process.number, identity=daemon)
    crew.watch.begin(name, process.number, daemon)
    return True


def _let_others_answer(crew: Crew, name: str, spec: Unit) -> None:
    """Refuse connections to a unit of which nothing is left, while others of its group are ready.

    Whoever shares requests among them asks another one then. Alone, it keeps them waiting.
    """
    phases = [each.phase for each in crew.ledger.get(name).processes]
    if not spec.group or any(each is not Phase.STOPPING for each in phases):
        return
    others_ready = any(
        process.phase is Phase.READY and process.spec.group == spec.group
        for record in crew.ledger.records()
        for process in record.processes
        if record.name != name
    )
    if others_ready:
        crew.listeners.refuse(name)


async def _bury(crew: Crew, name: str, number: int) -> None:
    process = crew.ledger.process(name, number)
    if process is None:
        return
    daemon = None
    if process.spec.daemon:
        planned = process.stop_step > 0
        daemon = await deaths.agent_ended(crew, name, process.spec, planned=planned)
    await end_leftovers(crew, name, number, spared=daemon)
    crew.watch.forget(name, number)
    journal = crew.journals.of(name, process.spec)
    if pidfiles.output(crew.state, process.spec) == number:
        journal.collect()  # its daemon writes on
    else:
        journal.finish(number)
    if process.blame:
        last = journal.tail(number, LAST_LINES)
        journal.note(process.blame, level="error", start=number)
        ready_for_s = time.time() - process.ready_at_s if process.ready_at_s else 0.0
        blame(
            crew,
            name,
            process.spec.revision,
            words="\n".join((process.blame, *last)),
            grave=process.stop_step > 0,
            ready_for_s=ready_for_s,
        )
    else:
        journal.note(f"stopped: {reaper.said(_code(crew, process))}", start=number)
    if process.handover:
        with suppress(OSError):
            os.unlink(process.handover)  # noqa: PTH108  # one system call
    if name in crew.fencing:  # it is started again once another one leads
        await crew.fencing[name].wait()
    record = crew.ledger.get(name)
    crew.ledger.change(
        name, processes=tuple(each for each in record.processes if each.number != number)
    )


def blame(  # a fact each, most by keyword
    crew: Crew,
    name: str,
    revision: str,
    *,
    words: str,
    grave: bool = False,
    ready_for_s: float = 0.0,
) -> None:
    """Record one more failure of a unit's revision."""
    record = crew.ledger.get(name)
    former = next((each for each in record.troubles if each.revision == revision), None)
    trouble = after_failure(
        former,
        revision=revision,
        now_s=time.time(),
        ready_for_s=ready_for_s,
        words=words,
        grave=grave,
    )
    others = tuple(each for each in record.troubles if each.revision != revision)
    crew.ledger.change(name, generation=crew.generation, troubles=(*others, trouble))
    crew.wake()


async def end_leftovers(
    crew: Crew, name: str, number: int, *, spared: Identity | None = None
) -> None:
    """Kill what a start left behind, and wait until it is gone (bounded)."""
    record = crew.ledger.get(name)
    living = frozenset(
        each.pid
        for each in (spared, *(p.identity for p in record.processes if p.number != number))
        if each is not None
    )
    doomed: list[Identity] = []
    for identity in belonging.leftovers(crew.state, name, number, living=living):
        doomed += processes.kill_tree(identity)
    deadline = time.monotonic() + processes.KILL_WAIT_S
    while time.monotonic() < deadline:
        if not any(processes.alive(each) for each in doomed):
            return
        await asyncio.sleep(POLL_S)


def _code(crew: Crew, process: ProcessRecord) -> int | None:
    return crew.reaper.code(process.identity.pid) if process.identity is not None else None
