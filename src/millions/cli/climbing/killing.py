"""A climb whose command is killed at every step, and the supervisor with it at every second one.

Each time it is gone on with, as a person would after a crash. It decides nothing about the climb.
"""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING, Any

from millions.cli.climbing import record
from millions.drill.stage import COMMAND_WITHIN_S
from millions.errors import MachineError
from millions.runtime import processes, supervisor

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from millions.drill.stage import Stage
    from millions.runtime.state import StateFolder

LOOK_S = 0.005
LATER_S = 0.6
"""A step is killed at once or up to this much later, anywhere in what it does."""

RUNS_MAX = 200
"""More commands than steps have states: each state is killed once at most."""


async def climb(
    stage: Stage, rung: int, *, chance: random.Random, say: Callable[[str], None]
) -> int:
    """Climb to `rung`, killed at each state of each step. Answer how often.

    Raise MachineError when it does not go on after a kill.
    """
    seen: set[tuple[str, str]] = set()
    arguments: tuple[str, ...] = ("climb", str(rung), "--yes", "--json")
    for _ in range(RUNS_MAX):
        command = await stage.begin(*arguments)
        at, out = await _run(stage, command, seen, chance)
        if command.returncode == 0:
            return len(seen)
        if at is None:
            raise MachineError(
                cannot=f"run millions {' '.join(arguments)} after {len(seen)} kills",
                because=out.strip(),
                try_="the report's logs",
            )
        seen.add(at)
        if len(seen) % 2:
            await asyncio.to_thread(_kill_supervisor, stage.state)
        say(f"killed at {' '.join(at)}")
        if record.read(stage.state) is None:
            return len(seen)  # it had come to its end
        arguments = ("climb", "--resume", "--json")
    raise MachineError(
        cannot=f"climb to rung {rung}", because=f"it took {RUNS_MAX} commands", try_="its logs"
    )


async def _run(
    stage: Stage,
    command: asyncio.subprocess.Process,
    seen: set[tuple[str, str]],
    chance: random.Random,
) -> tuple[tuple[str, str] | None, str]:
    """Answer where the command was killed, None when it ended by itself, and what it said."""
    ended = asyncio.ensure_future(command.communicate())
    try:
        async with asyncio.timeout(COMMAND_WITHIN_S):
            at = await _state_to_kill_at(stage, ended, seen, chance)
    except BaseException:  # a Ctrl-C as well: it is in a session of its own
        command.kill()
        await ended
        raise
    if at is not None:
        command.kill()
    return at, (await ended)[0].decode(errors="replace")


async def _state_to_kill_at(
    stage: Stage, ended: asyncio.Future[Any], seen: set[tuple[str, str]], chance: random.Random
) -> tuple[str, str] | None:
    """Wait for a moment in a state that is not in `seen`; None: the command ended before."""
    while not ended.done():
        await asyncio.wait([ended], timeout=LOOK_S)
        now = _stands_at(stage.state)
        if now is None or now in seen:
            continue
        await asyncio.wait([ended], timeout=chance.choice((0.0, chance.uniform(0.0, LATER_S))))
        return None if ended.done() else now
    return None


def _stands_at(state: StateFolder) -> tuple[str, str] | None:
    found = record.read(state)
    if found is None or found.at >= len(found.names):
        return None
    return found.names[found.at], found.state.value


def _kill_supervisor(state: StateFolder) -> None:
    """SIGKILL the supervisor alone, and wait until it is gone (blocking)."""
    pid = supervisor.running(state)
    found = None if pid is None else processes.identify(pid)
    if found is not None:
        os.kill(found.pid, signal.SIGKILL)
        processes.wait_gone((found,))
