"""One fault at a time on a stage that stays up, and the history of what users saw meanwhile."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from millions.drill import drills, history
from millions.drill import stage as stages
from millions.drill.checker import Verdict, check
from millions.drill.faults import step as steps
from millions.drill.faults.kinds import kind
from millions.drill.faults.scene import Scene
from millions.drill.history import Header, Operation, Writer
from millions.drill.runner import Run
from millions.drill.workloads.choice import workload
from millions.drill.workloads.workload import Site

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable
    from contextlib import AsyncExitStack

    from millions.drill.stage import Stage
    from millions.drill.workloads.workload import Workload

CLIENTS = 6
RATE_PER_S = 120.0
SETTLES_WITHIN_S = 60.0


@asynccontextmanager
async def brought_up(*, rung: int) -> AsyncGenerator[Drilled]:
    """A stage that is up for one block; nothing of it is left."""
    root = stages.make_root()
    stage = stages.make({}, rung=rung, folder=None, root=root)
    try:
        await stage.do("up", "--detach")
        yield Drilled(stage)
    finally:
        await stage.millions("down")
        stages.erase(root)
    assert left_behind(root) == []


def left_behind(root: Path) -> list[int]:
    """Processes of stacks whose state is below `root`."""
    mark = f"MILLIONS_DIRECTORY={root}/".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def is_in_order(path: Path) -> bool:
    """Whether one clock went on from the preparation to the last look: users note what is done."""
    done = [each.done for each in history.read(path) if isinstance(each, Operation)]
    return done == sorted(done)


@dataclass(slots=True)
class Drilled:
    """A stage that is up."""

    stage: Stage
    said: list[str] = field(default_factory=list)

    async def drill(
        self,
        *words: str,
        lasts_s: float = 5.0,
        may_fail: str = "any",
        meddle: Callable[[], Awaitable[None]] | None = None,
        target: str = "pure",
    ) -> Verdict:
        """Run these faults under load and judge; `meddle` is called before the last look."""
        drill = drills.of_steps(tuple(steps.parse(each) for each in words))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "history.jsonl"
            with Writer(path, Header()) as writer:
                site = Site(
                    address=self.stage.address,
                    writer=writer,
                    clients=CLIENTS,
                    rate_per_s=RATE_PER_S,
                )
                chosen = workload(target, site, ())
                run = Run(
                    stage=self.stage,
                    drill=drill,
                    site=site,
                    workload=_Meddled(chosen, meddle) if meddle else chosen,
                    lasts_s=lasts_s,
                    say=self.said.append,
                    afterwards_s=1.0,
                )
                try:
                    await run.run()
                except Exception as error:
                    error.add_note("\n".join(self.said))
                    raise
            assert run.problems == [], run.problems
            assert is_in_order(path)
            return check(history.read(path), may_fail=may_fail)

    async def begin(self, words: str, hold: AsyncExitStack) -> str:
        """Begin one fault; it is undone when `hold` unwinds."""
        step = steps.parse(words)
        loop = asyncio.get_running_loop()
        scene = Scene(stage=self.stage, step=step, hold=hold, now=loop.time, struck=[])
        return await kind(step).begin(scene)

    async def well(self) -> None:
        assert await self.stage.settled(SETTLES_WITHIN_S)


@dataclass(slots=True)
class _Meddled:
    workload: Workload
    meddle: Callable[[], Awaitable[None]]

    async def prepare(self) -> None:
        await self.workload.prepare()

    async def run(self) -> None:
        await self.workload.run()

    async def finish(self) -> None:
        await self.meddle()
        await self.workload.finish()
