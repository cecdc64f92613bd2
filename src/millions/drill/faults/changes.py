"""Planned changes under load: deploys, releases that are no good, scaling, moving the database.

Each is the command that a person would type. A change that must be refused and is not is an error.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from millions import rungs
from millions.errors import MachineError

if TYPE_CHECKING:
    from millions.drill.faults.scene import Scene

VERSION_FILE = "version.txt"
BAD_MODULE = "drilled.py"
BAD = '"""A release that is no good."""\n\nraise RuntimeError("this release cannot start")\n'
SERVERS = 4


async def deploy(scene: Scene) -> str:
    """Deploy another release of the same application."""
    if scene.stage.home is not None:
        file = scene.stage.folder / VERSION_FILE
        before = file.read_text(encoding="utf-8") if file.exists() else ""
        file.write_text(f"{before}another release\n", encoding="utf-8")
    return await _changed(scene, "deploy")


async def rollback(scene: Scene) -> str:
    """Go back to the release before."""
    return await _changed(scene, "deploy", "--rollback")


async def bad_release(scene: Scene) -> str:
    """Deploy a release that cannot start; it must be refused."""
    file = scene.stage.folder / BAD_MODULE
    if scene.stage.home is None or not file.exists():
        raise MachineError(
            cannot="deploy a bad release",
            because="the application is not that of the drill",
            try_="without --here and with --target pure",
        )
    good = file.read_text(encoding="utf-8")
    scene.hold.push_async_callback(asyncio.to_thread, file.write_text, good, encoding="utf-8")
    file.write_text(BAD, encoding="utf-8")
    async with scene.stage.changing:
        scene.strike()
        ran = await scene.stage.millions("deploy")
    if ran.status == 0:
        raise MachineError(
            cannot="have a bad release refused",
            because="millions deploy took it",
            try_="report this with the drill's folder",
        )
    cannot = next((each for each in ran.out.splitlines() if each.startswith("cannot ")), "")
    return f"refused: {cannot}"


async def scale(scene: Scene) -> str:
    """Change the number of web servers; the former number comes back at the end."""
    tier = scene.step.aim or "web"
    before = sum(each.tier == tier for each in scene.stage.desired().units)
    wanted = scene.step.by or SERVERS
    scene.hold.push_async_callback(_changed, scene, "scale", f"{tier}={before}")
    await _changed(scene, "scale", f"{tier}={wanted}")
    return f"{tier}: {before} to {wanted}"


async def move(scene: Scene) -> str:
    """Move the database to the next server."""
    unit = next(each for each in scene.stage.desired().units if each.holds_data)
    number = scene.step.by or int(unit.name.rpartition(".")[2]) % 9 + 1
    return await _changed(scene, "move", "database", "--to", str(number), "--yes")


async def climb(scene: Scene) -> str:
    """Climb to another rung, the highest unless one is named; it climbs back at the end."""
    before, wanted = scene.stage.rung, scene.step.by or max(rungs.BUILT)
    scene.hold.push_async_callback(_changed, scene, "climb", str(before), "--yes", "--json")
    await _changed(scene, "climb", str(wanted), "--yes", "--json")
    return f"rung {before} to {wanted}"


async def _changed(scene: Scene, *arguments: str) -> str:
    """Run a command once no other one changes the stack; the last line of what it said."""
    async with scene.stage.changing:
        scene.strike()
        said = await scene.stage.do(*arguments)
    return next(iter(said.strip().splitlines()[::-1]), "")
