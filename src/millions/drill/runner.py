"""Runs a drill: load on, break, wait until all is well again, look once more.

It decides nothing about promises; the checker does. Whatever it broke it mends, also when it is
interrupted: what is to be undone is on a stack that unwinds.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from millions.drill.faults.aim import SUPERVISOR
from millions.drill.faults.kinds import kind
from millions.drill.faults.scene import Scene
from millions.errors import MillionsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from millions.drill.drill import Drill
    from millions.drill.faults.step import Step
    from millions.drill.stage import Stage
    from millions.drill.workloads.workload import Site, Workload

RECOVERS_WITHIN_S = 90.0
"""How long the load waits for everything to be ready again; a drill that takes longer says so."""

AFTERWARDS_S = 4.0
"""The load goes on this long after the recovery, so that there is something to compare with."""

TELL_EVERY_S = 1.0
SEEN_AFTER_S = 0.3
"""The supervisor has noticed a death by then; a status before it may still call all well."""

SEEN_WITHIN_S = 20.0
LOOK_S = 0.02


@dataclass(slots=True, kw_only=True)
class Run:
    """One run of a drill. `say` is told what happens, one line at a time."""

    stage: Stage
    drill: Drill
    site: Site
    workload: Workload
    lasts_s: float
    say: Callable[[str], None]
    afterwards_s: float = AFTERWARDS_S
    problems: list[str] = field(default_factory=list[str])
    _number: int = 0
    _began_s: float = 0.0

    async def run(self) -> None:
        """Run it to its end; a step that could not be done is a problem, and the rest goes on."""
        await self.workload.prepare()
        self._began_s = self.site.clock.now()
        load = asyncio.create_task(self.workload.run(), name="load")
        teller = asyncio.create_task(self._tell(), name="progress")
        steps = [asyncio.create_task(self._step(each)) for each in self.drill.steps]
        try:
            await self._watch(load, steps)
        finally:
            self.site.stopping = True
            for each in (*steps, teller):
                each.cancel()
            await asyncio.gather(*steps, teller, return_exceptions=True)
            with suppress(asyncio.CancelledError):
                await load
        self.say("the last look")
        await self.workload.finish()

    async def _watch(self, load: asyncio.Task[None], steps: list[asyncio.Task[None]]) -> None:
        """Wait for the steps and the recovery, and at least as long as the load is to last."""
        waiting = {load, *steps}
        while waiting - {load}:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for each in done:  # the load only ends by itself with an error
                await each
        if not await self.stage.settled(RECOVERS_WITHIN_S):
            self.problems.append(f"not all is ready {RECOVERS_WITHIN_S:.0f} s after the last step")
        left_s = self.lasts_s - self._passed_s()
        if self.drill.steps:
            left_s = max(left_s, self.afterwards_s)
        await asyncio.wait({load}, timeout=max(0.0, left_s))
        if load.done():
            await load

    async def _step(self, step: Step) -> None:
        what = kind(step)
        await asyncio.sleep(max(0.0, step.at_s - self._passed_s()))
        now = self.site.clock.now
        began = now()
        self.say(f"{step}")
        async with AsyncExitStack() as hold:
            scene = Scene(stage=self.stage, step=step, hold=hold, now=now, struck=[])
            try:
                note = await what.begin(scene)
            except MillionsError as error:
                self.problems.append(str(error))
                note = str(error)
            number = self._note(scene, began, note)
            self.say(f"{step}: {note}")
            if what.lasts or step.aim == SUPERVISOR:
                await asyncio.sleep(step.for_s)
        healed = now()
        await asyncio.sleep(SEEN_AFTER_S)
        await self._seen(scene.doomed)
        if await self.stage.settled(RECOVERS_WITHIN_S):
            self.site.writer.event("recovered", now(), ends=number, note=str(step))
            self.say(f"{step}: all is ready again {now() - began:.1f} s after it began")
        else:
            self.site.writer.event("not recovered", healed, ends=number, note=str(step))

    async def _seen(self, doomed: set[int]) -> None:
        """Wait until no status tells of a killed process; on a busy machine that takes longer."""
        deadline = self.site.clock.now() + SEEN_WITHIN_S
        while self.site.clock.now() < deadline:
            status = self.stage.status()
            if status is None or not any(each.pid in doomed for each in status.units):
                return
            await asyncio.sleep(LOOK_S)

    def _note(self, scene: Scene, began: float, note: str) -> str:
        """Write an event for each moment at which something was done; the last one's number."""
        step, struck, done = scene.step, scene.struck or [began], scene.now()
        planned = kind(step).planned
        for at, until in zip(struck, [*struck[1:], done], strict=True):
            self._number += 1
            fields = {"id": str(self._number), "aim": step.aim, "planned": planned, "note": note}
            ends = scene.over.get(at, at if until < done else done)
            self.site.writer.event(step.do, at, done=ends if not planned else at, **fields)
        return str(self._number)

    def _passed_s(self) -> float:
        """How long the load has lasted; the history's clock began before, with the preparation."""
        return self.site.clock.now() - self._began_s

    async def _tell(self) -> None:
        good = bad = 0
        while True:
            await asyncio.sleep(TELL_EVERY_S)
            count = self.site.count
            self.say(
                f"{self._passed_s():5.0f} s  {count.good - good:>6,} good"
                f"  {count.bad - bad:>4,} failed"
            )
            good, bad = count.good, count.bad
