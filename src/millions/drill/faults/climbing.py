"""A climb in which units die by chance, one after the other, all the way there and back.

Each goes on with `millions climb --resume` where a death broke it off, as a person would. No second
unit of a tier dies before the first is back: nothing is promised for two deaths at once.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from typing import TYPE_CHECKING

from millions import rungs
from millions.climb import record
from millions.drill.faults import signals
from millions.drill.faults.aim import Aim
from millions.errors import MachineError

if TYPE_CHECKING:
    from collections.abc import Collection

    from millions.drill.faults.scene import Scene
    from millions.runtime.status import UnitStatus

SEED = 1
REST_S = (1.5, 5.0)
"""Between two deaths: what died is back by then, or nearly."""

RESTED_S = 10.0
"""A unit that has died is left alone this long. One that dies again and again is taken for one that
cannot run, and whatever would change it is refused."""

COMMANDS_MAX = 12
"""How often a climb may be broken off one way; each time a unit had died at a bad moment."""

RESUME = ("climb", "--resume", "--json")


async def killed(scene: Scene) -> str:
    """Climb to another rung and back while units die; say how many did."""
    before, wanted = scene.stage.rung, scene.step.by or max(rungs.BUILT)
    victims: list[str] = []
    killer = asyncio.create_task(_kill_on(scene, victims), name="killer")
    try:
        async with scene.stage.changing:
            for goal in (wanted, before):
                await _climbed(scene, goal)
    finally:
        killer.cancel()
        with suppress(asyncio.CancelledError):
            await killer
    return f"rung {before} to {wanted} and back; {len(victims)} died: {', '.join(victims)}"


async def _climbed(scene: Scene, goal: int) -> None:
    """Climb, and go on as often as it is broken off. Raise MachineError when it does not arrive."""
    begin = ("climb", str(goal), "--yes", "--json")
    said = ""
    for _ in range(COMMANDS_MAX):
        broken_off = await asyncio.to_thread((scene.stage.state.path / record.UNDER_WAY).exists)
        ran = await scene.stage.millions(*(RESUME if broken_off else begin))
        if ran.status == 0 and scene.stage.rung == goal:
            return
        said = ran.out.strip() or said
    raise MachineError(
        cannot=f"climb to rung {goal} while units die",
        because=said or f"it stands on rung {scene.stage.rung}",
        try_="the drill's logs",
    )


async def _kill_on(scene: Scene, victims: list[str]) -> None:
    """Kill one ready unit after another until cancelled."""
    chance = random.Random(SEED)  # noqa: S311  # no secret
    died_at_s: dict[str, float] = {}
    while True:
        await asyncio.sleep(chance.uniform(*REST_S))
        status = scene.stage.status()
        units = status.units if status is not None else ()
        rested_s = scene.now() - RESTED_S
        able = able_to_die(units, victims, scene.doomed)
        ready = [each for each in able if died_at_s.get(each, rested_s) <= rested_s]
        if not ready:
            continue
        name = chance.choice(ready)
        aim = Aim(text=name, units=(name,))
        doomed = await asyncio.to_thread(signals.kill, scene.stage, aim, scene.strike)
        if doomed:
            scene.struck_whole()
            scene.doomed |= {each.pid for each in doomed}
            victims.append(name)
            died_at_s[name] = scene.now()


def able_to_die(
    units: tuple[UnitStatus, ...], victims: Collection[str], doomed: Collection[int]
) -> list[str]:
    """Answer the ready units of those tiers of which no victim is away.

    `doomed` are the processes that died: a status that still tells of one is older than that.
    """
    back = {each.name: each for each in units if each.phase == "ready" and each.pid not in doomed}
    away = {
        each.tier
        for each in units
        if each.name in victims and each.name not in back and each.phase != "kept"
    }
    return sorted(name for name, each in back.items() if each.tier not in away)
