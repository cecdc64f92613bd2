"""The kinds of faults, by name. Each begins, registers how it is undone, and says what it did.

What is begun is always undone: `hold` runs the undoings also when the drill is interrupted.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from millions.drill.faults import aim as aims
from millions.drill.faults import changes, climbing, disk, memory, network, signals
from millions.errors import MachineError, StackFileError
from millions.runtime import processes, supervisor
from millions.settings.reader import near

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from millions.drill.faults.scene import Scene
    from millions.drill.faults.step import Step
    from millions.drill.stage import Stage

    Begin = Callable[[Scene], Awaitable[str]]

DELAY_MS = 40
TURNS = 4
"""How often a crash loop kills."""

BACK_WITHIN_S = 20.0
LOOK_S = 0.02
DEAD_WITHIN_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind. `planned` changes excuse no failure; `lasts` says that `for` means something."""

    says: str
    begin: Begin
    planned: bool = False
    lasts: bool = False
    needs_root: bool = False


async def kill(scene: Scene) -> str:
    """SIGKILL everything that is meant at once; the supervisor, if meant, is started again."""
    aim = await asyncio.to_thread(aims.find, scene.stage, scene.step.aim)
    if aim.units == (aims.SUPERVISOR,):
        scene.hold.push_async_callback(asyncio.to_thread, supervisor.ensure, scene.stage.state)
    doomed = await asyncio.to_thread(signals.kill, scene.stage, aim, scene.strike)
    if not doomed:
        raise MachineError(
            cannot=f"kill {aim}", because="nothing of it runs", try_="millions status"
        )
    scene.doomed |= {each.pid for each in doomed}
    await asyncio.to_thread(processes.wait_gone, doomed, within_s=DEAD_WITHIN_S)
    return f"{aim}: {len(doomed)} processes"


async def freeze(scene: Scene) -> str:
    """SIGSTOP everything that is meant; what still lives is continued at the end."""
    aim = await asyncio.to_thread(aims.find, scene.stage, scene.step.aim)
    stopped = await asyncio.to_thread(signals.freeze, scene.stage, aim, scene.strike)
    scene.hold.callback(signals.thaw, stopped)
    return f"{aim}: {len(stopped)} processes"


async def crash_loop(scene: Scene) -> str:
    """Kill a unit each time that it has come back."""
    turns = scene.step.by or TURNS
    aim = await asyncio.to_thread(aims.find, scene.stage, scene.step.aim)
    for turn in range(turns):
        doomed = await asyncio.to_thread(signals.kill, scene.stage, aim, scene.strike)
        gone = {each.pid for each in doomed}
        scene.doomed |= gone
        if turn + 1 < turns:
            await _back(scene.stage, aim.units, gone)
    return f"{aim}, {turns} times"


async def _back(stage: Stage, units: tuple[str, ...], gone: set[int]) -> None:
    deadline = asyncio.get_running_loop().time() + BACK_WITHIN_S
    while asyncio.get_running_loop().time() < deadline:
        status = stage.status()
        told = [each for each in status.units if each.name in units] if status else []
        if told and all(each.phase == "ready" and each.pid not in gone for each in told):
            return
        await asyncio.sleep(LOOK_S)


async def cut_off(scene: Scene) -> str:
    """Drop all packets between the units that are meant and everything else."""
    network.require("nft")
    stage = scene.stage
    aim = await asyncio.to_thread(aims.find, stage, scene.step.aim)
    hosts = _hosts(stage, aim)
    scene.hold.push_async_callback(asyncio.to_thread, network.mend, stage)
    scene.strike()
    await asyncio.to_thread(network.cut, stage, hosts)
    keeper = asyncio.create_task(network.keep_cut(stage, aim, hosts))
    scene.hold.push_async_callback(_end_task, keeper)
    return f"{aim} ({', '.join(hosts)})"


async def slow(scene: Scene) -> str:
    """Delay all packets to and from the units that are meant."""
    network.require("iptables")
    stage, delay_ms = scene.stage, scene.step.by or DELAY_MS
    aim = await asyncio.to_thread(aims.find, stage, scene.step.aim)
    hosts = _hosts(stage, aim)
    scene.hold.push_async_callback(asyncio.to_thread, network.mend, stage)
    delayer = await network.delay(stage, hosts, delay_ms)
    scene.strike()
    scene.hold.push_async_callback(_end_process, delayer)
    return f"{aim} by {delay_ms} ms each way"


async def _end_task(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def _end_process(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.kill()
    await process.wait()


def _hosts(stage: Stage, aim: aims.Aim) -> tuple[str, ...]:
    """The private addresses of the units that are meant."""
    found = {
        each.address.host
        for each in stage.desired().units
        if each.name in aim.units and each.address is not None
    }
    if not found:
        raise MachineError(
            cannot=f"reach {aim} by the network",
            because="it has no address of its own",
            try_="a unit of the stack",
        )
    return tuple(sorted(found))


KINDS: dict[str, Kind] = {
    "kill": Kind(says="SIGKILL to every process of it at once", begin=kill),
    "freeze": Kind(says="SIGSTOP to every process of it, then SIGCONT", begin=freeze, lasts=True),
    "crash-loop": Kind(says="killed each time that it is back", begin=crash_loop),
    "cut-off": Kind(
        says="its packets to and from everybody else are dropped",
        begin=cut_off,
        lasts=True,
        needs_root=True,
    ),
    "slow": Kind(
        says="its packets are delayed by some milliseconds",
        begin=slow,
        planned=True,
        lasts=True,
        needs_root=True,
    ),
    "fill-disk": Kind(
        says="no room is left on the disk of a throw-away stack",
        begin=disk.fill,
        lasts=True,
        needs_root=True,
    ),
    "fill-memory": Kind(
        says="its processes get no more memory than they have", begin=memory.fill, lasts=True
    ),
    "deploy": Kind(says="another release takes over", begin=changes.deploy, planned=True),
    "bad-release": Kind(
        says="a release that cannot start is deployed and must be refused",
        begin=changes.bad_release,
        planned=True,
    ),
    "rollback": Kind(
        says="the release before takes over again", begin=changes.rollback, planned=True
    ),
    "scale": Kind(
        says="web servers join, and leave again", begin=changes.scale, planned=True, lasts=True
    ),
    "move": Kind(says="the database moves to another server", begin=changes.move, planned=True),
    "climb": Kind(
        says="the stack climbs to the rung that `by` says, the highest without it, and back",
        begin=changes.climb,
        planned=True,
        lasts=True,
    ),
    "climb-killed": Kind(
        says="it climbs there and back, and units die by chance all the way",
        begin=climbing.killed,
    ),
}


def kind(step: Step) -> Kind:
    """Answer the kind of a step. Raise StackFileError for one that there is not."""
    found = KINDS.get(step.do)
    if found is None:
        because = f"there is no fault {step.do!r}: {near(step.do, KINDS)}"
        if step.do in ("clock", "clock-jump"):
            because = (
                "the clock of one process alone cannot be changed on Linux, and that of the whole"
                " machine would hit everything else that runs on it"
            )
        raise StackFileError(
            cannot=f"do {step}", because=because, try_=f"one of {', '.join(KINDS)}"
        )
    return found
