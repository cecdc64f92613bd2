"""A machine in small for the planner's laws: it does what actions say and lets nature run.

Pure and deterministic: which revisions are bad is part of the world, crashes come from outside.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from millions.model import (
    Action,
    Address,
    Erase,
    Forget,
    Goal,
    Observed,
    Phase,
    Preparation,
    Prepare,
    Probe,
    Process,
    Reload,
    Seen,
    Share,
    Start,
    Stop,
    Unit,
)
from millions.reconcile.backoff import after_failure
from millions.reconcile.plan import plan

ANYWHERE = Address(host="127.1.1.1", port=1)


def unit(name: str = "web", version: str = "1", **more: object) -> Unit:
    """A unit of which `version` makes the revision."""
    probe = Probe(address=ANYWHERE, within_s=30.0)
    return Unit(name=name, tier="any", command=("run", version), probe=probe, **more)  # type: ignore[arg-type]


def preparations(*keys: str, shared: bool = False) -> tuple[Preparation, ...]:
    return tuple(
        Preparation(name=key, command=("prepare",), key=key, shared=shared) for key in keys
    )


def process(
    spec: Unit, number: int = 1, phase: Phase = Phase.READY, since_s: float = 0.0
) -> Process:
    return Process(number=number, spec=spec, phase=phase, since_s=since_s, changed_s=since_s)


def seen(spec: Unit, *processes: Process, **more: object) -> Seen:
    return Seen(name=spec.name, processes=processes, **more)  # type: ignore[arg-type]


@dataclass
class World:
    """What runs, changed by `act` (what the planner asks for) and `pass_time` (by nature)."""

    now_s: float = 1000.0
    units: dict[str, Seen] = field(default_factory=dict)
    bad: frozenset[str] = frozenset()
    preparing: dict[str, tuple[Unit, Preparation]] = field(default_factory=dict)
    changing: dict[tuple[str, int], Unit] = field(default_factory=dict)
    numbers: int = 0
    erased: list[str] = field(default_factory=list)

    def observed(self) -> Observed:
        return Observed(now_s=self.now_s, units=tuple(self.units.values()))

    def plan(self, goal: Goal) -> tuple[Action, ...]:
        self._follow(goal)
        return plan(goal, self.observed())

    def act(self, actions: tuple[Action, ...]) -> None:
        for action in actions:
            found = self.units.get(action.unit, Seen(name=action.unit))
            match action:
                case Start():
                    self.numbers += 1
                    started = process(action.spec, self.numbers, Phase.STARTING, self.now_s)
                    has_data = found.has_data or action.spec.holds_data
                    self._put(found, processes=(*found.processes, started), has_data=has_data)
                case Stop():
                    failed = next(p for p in found.processes if p.number == action.number)
                    self._phase(action.unit, action.number, Phase.STOPPING)
                    if action.failed:
                        self._blame(action.unit, failed.spec.revision)
                case Prepare():
                    self.preparing[action.unit] = (action.spec, action.preparation)
                    self._put(found, busy=True)
                case Reload() | Share():
                    self.changing[action.unit, action.number] = action.spec
                    self._change(action.unit, action.number, changing=True)
                case Erase():
                    self.erased.append(action.unit)
                    self.units.pop(action.unit, None)
                case Forget():
                    self.units.pop(action.unit)

    def pass_time(self, seconds: float = 1.0) -> None:
        """Starting ones become ready or die, stopping ones go, preparations end."""
        self.now_s += seconds
        for name, (spec, preparation) in self.preparing.items():
            found = self.units[name]
            self._put(found, busy=False, prepared=found.prepared | {preparation.key})
            if f"{preparation.key} of {spec.revision}" in self.bad:
                self._put(self.units[name], prepared=found.prepared)
                self._blame(name, spec.revision)
        self.preparing.clear()
        for (name, number), spec in self.changing.items():
            self._change(name, number, changing=False, spec=spec)
        self.changing.clear()
        for found in tuple(self.units.values()):
            for each in found.processes:
                if each.phase is Phase.STOPPING:
                    self._remove(found.name, each.number)
                elif each.phase is Phase.STARTING and each.spec.revision in self.bad:
                    self.crash(found.name, each.number)
                elif each.phase is Phase.STARTING:
                    self._phase(found.name, each.number, Phase.READY)
                    self._put(self.units[found.name], good=each.spec)

    def crash(self, name: str, number: int) -> None:
        died = next(p for p in self.units[name].processes if p.number == number)
        self._remove(name, number)
        if died.phase is not Phase.STOPPING:
            self._blame(name, died.spec.revision)

    def new_generation(self) -> None:
        for found in tuple(self.units.values()):
            self._put(found, troubles=())

    def ready(self, name: str) -> list[Process]:
        found = self.units.get(name)
        return [p for p in found.processes if p.phase is Phase.READY] if found else []

    def _blame(self, name: str, revision: str) -> None:
        found = self.units[name]
        former = next((t for t in found.troubles if t.revision == revision), None)
        trouble = after_failure(former, revision=revision, now_s=self.now_s, words="it died")
        others = tuple(t for t in found.troubles if t.revision != revision)
        self._put(found, troubles=(*others, trouble))

    def _follow(self, goal: Goal) -> None:
        """What changes without a new revision is known at once, but for files and pools."""
        for wanted in goal.units:
            found = self.units.get(wanted.name, Seen(name=wanted.name))
            for each in found.processes:
                if each.spec.revision == wanted.revision:
                    spec = replace(wanted, files=each.spec.files, pool=each.spec.pool)
                    self._change(wanted.name, each.number, spec=spec)

    def _phase(self, name: str, number: int, phase: Phase) -> None:
        self._change(name, number, phase=phase, changed_s=self.now_s)

    def _change(self, name: str, number: int, **changes: object) -> None:
        found = self.units.get(name, Seen(name=name))
        changed = tuple(
            replace(p, **changes) if p.number == number else p  # type: ignore[arg-type]
            for p in found.processes
        )
        if changed != found.processes:
            self._put(found, processes=changed)

    def _remove(self, name: str, number: int) -> None:
        found = self.units[name]
        self._put(found, processes=tuple(p for p in found.processes if p.number != number))

    def _put(self, found: Seen, **changes: object) -> None:
        self.units[found.name] = replace(found, **changes)  # type: ignore[arg-type]
