"""Scaling at work: asks what there is to do a few times a second; `reconcile/scaling` decides.

It asks the balancer, or the processes themselves. It starts and stops nothing: the loop takes
another round when the number is another one. Whatever cannot be asked or written changes no number.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from millions.errors import MillionsError
from millions.model import Phase
from millions.reconcile import scaling as rules
from millions.reconcile import signals
from millions.reconcile.scaling import Held, Rule, Scaling
from millions.reconcile.signals import Pulse, Tally
from millions.runtime import asking, counts, diary
from millions.runtime.status import ScalingStatus
from millions.runtime.telling import control_of

if TYPE_CHECKING:
    from millions.model import Address
    from millions.reconcile.scaling import Reading
    from millions.runtime.crew import Crew
    from millions.runtime.desired import Desired
    from millions.runtime.pools import Control

LOOK_S = 0.25
"""Between two looks: a step is seen at once, and a look costs the balancer 0.1 ms."""

ASK_S = 0.5
"""Between two questions to processes: each is a connection, and a look at their database."""

UNSEEN = "the balancer does not say what there is to do"
UNSAID = "none of them says what there is to do"


class Scaler:
    """The groups of one stack whose number of units follows the work."""

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self._rules: dict[str, Rule] = {}
        self._names: dict[str, frozenset[str]] = {}
        self._scalings: dict[str, Scaling] = {}
        self._pulses: dict[str, Pulse] = {}
        self._tallies: dict[str, Tally] = {}
        self._unseen: set[str] = set()
        self._wanted = asyncio.Event()
        self.problem = ""

    @property
    def counts(self) -> dict[str, int]:
        """How many units of each group are to run."""
        return {group: each.decided.count for group, each in self._scalings.items()}

    def follow(self, wanted: Desired) -> None:
        """Take in the rules of a desired document, and go on from what was decided last."""
        crew = self._crew
        known = tuple(each.decided for each in self._scalings.values()) or None
        decided = counts.last(crew.state.scaling, wanted, crew.ledger, known)
        self._rules = {rule.group: rule for rule in wanted.scaling}
        self._names = {
            group: frozenset(unit.name for unit in wanted.units if unit.group == group)
            for group in self._rules
        }
        self._scalings = {
            each.group: rules.allowed(
                self._rules[each.group],
                self._scalings.get(each.group) or Scaling(decided=each),
                time.time(),
            )
            for each in decided
        }
        self._remember()
        if self._rules:
            self._wanted.set()
        else:
            self._wanted.clear()

    def told(self) -> tuple[ScalingStatus, ...]:
        """What is said of each group in the status."""
        return tuple(self._told(group, rule) for group, rule in self._rules.items())

    async def run(self) -> None:
        """Look and decide for as long as there are rules; sleep while there is none."""
        async with asyncio.TaskGroup() as both:
            both.create_task(self._looks(LOOK_S, asks=False))
            both.create_task(self._looks(ASK_S, asks=True))

    async def _looks(self, every_s: float, *, asks: bool) -> None:
        """Processes that are slow to answer do not keep from asking the balancer."""
        while True:
            await self._wanted.wait()
            for group, rule in tuple(self._rules.items()):
                if bool(rule.asks) is asks and group in self._rules:
                    await self._look(group)
            await asyncio.sleep(every_s)

    async def _look(self, group: str) -> None:
        rule = self._rules[group]
        reading = await (self._told_by_copies(rule) if rule.asks else self._seen_of_pool(rule))
        if self._rules.get(group) != rule:  # another document came meanwhile
            return
        self._notice(group, unseen=reading is None)
        if reading is None:
            return
        before = self._scalings[group]
        after = self._scalings[group] = rules.decide(rule, before, reading)
        if after.decided.count != before.decided.count:
            self._remember()
            numbers = f"{before.decided.count} to {after.decided.count}"
            diary.tell(self._crew.state, f"scale {group} from {numbers}: {after.decided.why}")
        if after.decided.count != before.decided.count or after.held is not before.held:
            self._crew.wake()

    async def _seen_of_pool(self, rule: Rule) -> Reading | None:
        """What the balancer says; None when it says nothing."""
        control = self._control(rule.group)
        try:
            pool = await control.seen() if control is not None else None
        except (MillionsError, ValueError):
            pool = None
        if pool is None:
            return None
        pulse = self._pulses.get(rule.group, Pulse())
        self._pulses[rule.group], reading = signals.of_pool(rule, pulse, pool)
        return reading

    async def _told_by_copies(self, rule: Rule) -> Reading | None:
        """What the processes that are ready say themselves; None when none says anything."""
        at_s = time.time()
        workers = await asking.workers(rule.asks, self._addresses(rule.group))
        if not workers:
            return None
        tally = self._tallies.get(rule.group, Tally())
        self._tallies[rule.group], reading = signals.of_workers(rule, tally, at_s, workers)
        return reading

    def _addresses(self, group: str) -> dict[str, Address]:
        """The private addresses of the processes of a group that are ready."""
        return {
            f"{record.name}.{process.number}": process.address
            for record in self._crew.ledger.records()
            if record.name in self._names[group]
            for process in record.processes
            if process.phase is Phase.READY and process.address is not None
        }

    def _notice(self, group: str, *, unseen: bool) -> None:
        if unseen is not (group in self._unseen):
            (self._unseen.add if unseen else self._unseen.discard)(group)
            self._crew.wake()

    def _control(self, group: str) -> Control | None:
        """The control socket of a running process whose pool has units of the group."""
        names = self._names[group]
        for record in self._crew.ledger.records():
            for process in record.processes:
                pool = process.spec.pool
                if pool is None or process.phase is Phase.STOPPING:
                    continue
                if any(each.unit in names for each in pool.servers):
                    return control_of(self._crew.state, process.spec, pool)
        return None

    def _told(self, group: str, rule: Rule) -> ScalingStatus:
        scaling = self._scalings[group]
        decided = scaling.decided
        held = scaling.held if scaling.held is not Held.MEASURES else Held.NO
        return ScalingStatus(
            group=group,
            count=decided.count,
            least=rule.least,
            most=rule.most,
            at_s=decided.at_s,
            why=decided.why,
            held=(UNSAID if rule.asks else UNSEEN) if group in self._unseen else str(held.value),
        )

    def _remember(self) -> None:
        """Write what is decided; a full disk only makes a successor count what runs."""
        self.problem = ""
        path = self._crew.state.scaling
        try:
            if self._scalings:
                counts.write(path, tuple(each.decided for each in self._scalings.values()))
            else:
                path.unlink(missing_ok=True)
        except OSError as error:
            self.problem = f"cannot write {path}: {error.strerror or error}"
