"""A drill from beginning to end: a stage, the load, the faults, the verdict, the report.

It never leaves a throw-away stack behind, and never touches another one.
"""

from __future__ import annotations

import asyncio
import time
import tomllib
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from millions.drill import history
from millions.drill import stage as stages
from millions.drill.checker import check
from millions.drill.faults import disk, network
from millions.drill.faults.kinds import kind
from millions.drill.history import Header, Writer
from millions.drill.report.document import document
from millions.drill.report.page import page
from millions.drill.runner import Run
from millions.drill.workloads.choice import OWN, workload
from millions.drill.workloads.workload import Site
from millions.errors import StackFileError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from millions.drill.checker import Verdict
    from millions.drill.drill import Drill
    from millions.drill.stage import Stage

HISTORY, REPORT, PAGE = "history.jsonl", "report.json", "report.html"
LOGS = "logs.txt"
"""What the units of a throw-away stack wrote; it is erased with them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What was asked for. `file` is the user's stack file, if there is one.

    `here` runs on the stack that runs; else a throw-away one is made, on `rung` when it is given.
    """

    drill: Drill
    folder: Path
    file: Path | None = None
    rung: int | None = None
    here: bool = False
    target: str = "pure"
    paths: tuple[str, ...] = ()
    clients: int = 16
    rate_per_s: float = 300.0
    lasts_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of it. `problems` are steps that could not be done, in words."""

    verdict: Verdict
    folder: Path
    problems: tuple[str, ...] = field(default=())

    @property
    def well(self) -> bool:
        """Whether every promise holds and everything was done."""
        return self.verdict.well and not self.problems


async def perform(plan: Plan, say: Callable[[str], None]) -> Outcome:
    """Run the drill and write its folder. Raise MillionsError when it cannot be run."""
    source = _source(plan.file)
    rung = plan.rung or source.get("rung", 1)
    require(plan, rung)
    problems: list[str] = []
    plan.folder.mkdir(parents=True, exist_ok=True)
    path = plan.folder / HISTORY
    async with AsyncExitStack() as hold:
        stage = await _stage(plan, source, rung, hold, say)
        header = Header(
            promises=plan.drill.proves(plan.target),
            may_fail=plan.drill.allowed(rung),
            drill=plan.drill.name,
            note=f"rung {rung}, {plan.target}, {plan.clients} clients, "
            + (f"{plan.rate_per_s:g} requests/s at most" if plan.rate_per_s else "without pause")
            + time.strftime(", %Y-%m-%d %H:%M:%S"),
        )
        with Writer(path, header) as writer:
            site = Site(
                address=stage.address,
                writer=writer,
                clients=plan.clients,
                rate_per_s=plan.rate_per_s,
            )
            run = Run(
                stage=stage,
                drill=plan.drill,
                site=site,
                workload=workload(plan.target, site, plan.paths),
                lasts_s=plan.lasts_s or plan.drill.lasts_s,
                say=say,
                problems=problems,
            )
            await run.run()
        if not plan.here:
            logs = await stage.millions("logs")
            await asyncio.to_thread((plan.folder / LOGS).write_text, logs.out, encoding="utf-8")
    verdict = await asyncio.to_thread(judge, plan.folder, tuple(problems))
    return Outcome(verdict=verdict, folder=plan.folder, problems=tuple(problems))


def judge(folder: Path, problems: tuple[str, ...] = ()) -> Verdict:
    """Check the history of a folder and write its reports (blocking)."""
    verdict = check(history.read(folder / HISTORY))
    found = document(verdict) | {"problems": list(problems)}
    (folder / REPORT).write_bytes(orjson.dumps(found, option=orjson.OPT_INDENT_2))
    (folder / PAGE).write_text(page(verdict, problems), encoding="utf-8")
    return verdict


def require(plan: Plan, rung: int) -> None:
    """Raise when the drill makes no sense on this rung, or may not be run here."""
    if plan.drill.rung > rung:
        raise StackFileError(
            cannot=f"run {plan.drill.name} on rung {rung}",
            because=f"what it breaks exists from rung {plan.drill.rung} on",
            try_=f"millions drill run {plan.drill.name} --rung {plan.drill.rung}",
        )
    if plan.here and plan.target in OWN:
        raise StackFileError(
            cannot="run the drill's own application on the running stack",
            because="it would write into the database of your application",
            try_="--target pages or --target photos with --here, or leave out --here",
        )
    for step in plan.drill.steps:
        if step.do == "cut-off":
            network.require("nft")
        elif step.do == "slow":
            network.require("iptables")
        kind(step)


def _source(file: Path | None) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StackFileError(
            cannot=f"read {file}", because=str(error), try_="mend the file"
        ) from error


async def _stage(
    plan: Plan,
    source: dict[str, Any],
    rung: int,
    hold: AsyncExitStack,
    say: Callable[[str], None],
) -> Stage:
    """The stack that is going to be broken, up and ready."""
    if plan.here:
        if plan.file is None:
            raise StackFileError(
                cannot="run a drill here",
                because="there is no stack file",
                try_="millions -C FOLDER drill run …",
            )
        return stages.Stage(plan.file)
    folder = plan.file.parent if plan.file is not None and plan.target not in OWN else None
    root = await asyncio.to_thread(stages.make_root)
    hold.push_async_callback(asyncio.to_thread, stages.erase, root)
    if plan.drill.small_disk:
        await asyncio.to_thread(disk.mount, root)
        hold.push_async_callback(asyncio.to_thread, disk.unmount, root)
    stage = await asyncio.to_thread(stages.make, source, rung=rung, folder=folder, root=root)
    hold.push_async_callback(stage.millions, "down")
    say(f"a stack of its own on rung {rung}: {root}")
    await stage.do("up", "--detach")
    say("it is up")
    return stage
