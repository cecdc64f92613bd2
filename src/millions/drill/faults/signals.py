"""Kill and freeze: all processes that are meant at once, and thaw what still lives.

Processes are stopped before they are killed, so that none starts another one meanwhile; a whole
server then dies in one moment, as by a power cut.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from millions.drill.faults import aim as aims
from millions.runtime import processes

if TYPE_CHECKING:
    from collections.abc import Callable

    from millions.drill.faults.aim import Aim
    from millions.drill.stage import Stage
    from millions.runtime.processes import Identity

ROUNDS_MAX = 20
"""How often new processes are looked for; each round stops all that were found."""


def freeze(stage: Stage, aim: Aim, strike: Callable[[], None]) -> tuple[Identity, ...]:
    """SIGSTOP everything that is meant (blocking), calling `strike` first; answer whom."""
    stopped: dict[int, Identity] = {}
    for _ in range(ROUNDS_MAX):
        fresh = [each for each in aims.members(stage, aim) if each.pid not in stopped]
        if not fresh:
            break
        if not stopped:
            strike()
        for each in fresh:
            if processes.send(each, signal.SIGSTOP):
                stopped[each.pid] = each
    return tuple(stopped.values())


def thaw(stopped: tuple[Identity, ...]) -> None:
    """SIGCONT whoever of them still lives."""
    for each in stopped:
        processes.send(each, signal.SIGCONT)


def kill(stage: Stage, aim: Aim, strike: Callable[[], None]) -> tuple[Identity, ...]:
    """SIGKILL everything that is meant (blocking), calling `strike` first; answer whom."""
    doomed = freeze(stage, aim, strike)
    for each in doomed:
        processes.send(each, signal.SIGKILL)
    return doomed


def frozen(stage: Stage) -> tuple[Identity, ...]:
    """Processes of the stack that somebody stopped and did not continue (blocking)."""
    units = tuple(each.name for each in stage.desired().units)
    meant = aims.Aim(text="all", units=units)
    found: list[Identity] = []
    for each in aims.members(stage, meant):
        entry = processes.entry(each.pid)
        if entry is not None and entry.state in "Tt":
            found.append(each)
    return tuple(found)
