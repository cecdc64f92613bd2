"""Scaling at work: asks the balancer a few times a second, and lets `reconcile/scaling` decide.

It starts and stops nothing: the loop takes another round when the number is another one. Whatever
cannot be asked or written changes no number.
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
from millions.reconcile.signals import Pulse
from millions.runtime import counts, diary
from millions.runtime.status import ScalingStatus
from millions.runtime.telling import control_of

if TYPE_CHECKING:
    from millions.runtime.crew import Crew
    from millions.runtime.desired import Desired
    from millions.runtime.pools import Control

LOOK_S = 0.25
"""Between two looks: a step is seen at once, and a look costs the balancer 0.1 ms."""

UNSEEN = "the balancer does not say what there is to do"


class Scaler:
    """The groups of one stack whose number of units follows the work."""

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self._rules: dict[str, Rule] = {}
        self._names: dict[str, frozenset[str]] = {}
        self._scalings: dict[str, Scaling] = {}
        self._pulses: dict[str, Pulse] = {}
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
        while True:
            await self._wanted.wait()
            for group in tuple(self._rules):
                await self._look(group)
            await asyncio.sleep(LOOK_S)

    async def _look(self, group: str) -> None:
        control = self._control(group)
        try:
            pool = await control.seen() if control is not None else None
        except (MillionsError, ValueError):
            pool = None
        if group not in self._rules:  # another document came meanwhile
            return
        if pool is None:
            self._notice(group, unseen=True)
            return
        self._notice(group, unseen=False)
        rule, before = self._rules[group], self._scalings[group]
        pulse = self._pulses.get(group, Pulse())
        self._pulses[group], reading = signals.of_pool(rule, pulse, pool)
        after = self._scalings[group] = rules.decide(rule, before, reading)
        if after.decided.count != before.decided.count:
            self._remember()
            numbers = f"{before.decided.count} to {after.decided.count}"
            diary.tell(self._crew.state, f"scale {group} from {numbers}: {after.decided.why}")
        if after.decided.count != before.decided.count or after.held is not before.held:
            self._crew.wake()

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
            held=UNSEEN if group in self._unseen else str(held.value),
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
