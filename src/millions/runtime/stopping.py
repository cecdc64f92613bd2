"""Stopping a process by its steps: a signal, a bounded wait, the next; SIGKILL at the end.

A step that an earlier supervisor sent is not sent again, only waited for: a second SIGTERM makes
many servers break off.
"""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

from millions.model import Phase
from millions.runtime import pidfiles, processes

if TYPE_CHECKING:
    from millions.model import Stop
    from millions.runtime.crew import Crew
    from millions.runtime.record import ProcessRecord


NEVER_READY_WAIT_S = 5.0
"""A process that was never ready has no request to finish, so no step of its stop waits longer.
What holds data keeps its own bounds: it may be in the middle of its recovery."""


def begin(crew: Crew, action: Stop, *, blame: str = "") -> None:
    """Begin to stop a process; `blame` says what it did wrong, if it did."""
    name, number = action.unit, action.number
    process = crew.ledger.process(name, number)
    skipped = len(process.spec.stop) if process is not None and not action.steps else 0
    crew.ledger.change_process(
        name,
        number,
        phase=Phase.STOPPING,
        changed_s=time.time(),
        blame=blame,
        spares=action.spares,
        stop_step=skipped,
    )
    crew.journals.of(name).note(f"stops: {action.why}", start=number)
    resume(crew, name, number)


def resume(crew: Crew, name: str, number: int) -> None:
    """Go on stopping a process, from the step that was reached."""
    crew.spawn_task(_stop(crew, name, number))


async def _stop(crew: Crew, name: str, number: int) -> None:
    process = crew.ledger.process(name, number)
    if process is None or process.identity is None:
        return
    if process.spares and await _spared(crew, name, process):
        return
    stop_at_s = process.stop_at_s
    for index, step in enumerate(process.spec.stop):
        if index + 1 < process.stop_step:
            continue
        if index + 1 > process.stop_step:
            stop_at_s = time.time()
            crew.ledger.change_process(name, number, stop_step=index + 1, stop_at_s=stop_at_s)
            processes.send(process.identity, signal.Signals[step.signal])
            processes.send(process.identity, signal.SIGCONT)  # a stopped process hears nothing
        wait_s = step.wait_s
        if not process.ready_at_s and not process.spec.holds_data:
            wait_s = min(wait_s, NEVER_READY_WAIT_S)
        left_s = min(wait_s, max(0.0, stop_at_s + wait_s - time.time()))
        if await crew.watch.end(name, number, within_s=left_s):
            return
    crew.journals.of(name).note("does not stop: killed", level="warning", start=number)
    processes.kill_tree(process.identity)
    await crew.watch.end(name, number, within_s=processes.KILL_WAIT_S)


async def _spared(crew: Crew, name: str, process: ProcessRecord) -> bool:
    """End a process without its daemon; False where there is none, or it would not end so.

    An agent that is told to stop would stop its daemon. One that is the daemon is let go.
    """
    daemon = pidfiles.living(crew.state, process.spec)
    if daemon is None or process.identity is None:
        return False
    if daemon != process.identity:
        processes.send(process.identity, signal.SIGKILL)
        return await crew.watch.end(name, process.number, within_s=processes.KILL_WAIT_S)
    crew.journals.of(name).note("goes on under its successor", start=process.number)
    crew.watch.forget(name, process.number)
    others = [each for each in crew.ledger.get(name).processes if each.number != process.number]
    crew.ledger.change(name, processes=tuple(others))
    return True
