"""A balancer before servers in small, for traces of scaling: fluid and deterministic.

Each server answers a request in `latency_s` until it is full, and `full_rate` each second then, as
a process does that has one processor. At most `room` are under way on it; more wait before it. A
new server takes `start_s` to become ready. What is asked does not slow down with the answers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from millions.reconcile.scaling import Decided, Rule, Scaling, decide
from millions.reconcile.signals import PoolSeen, Pulse, ServerSeen, of_pool

if TYPE_CHECKING:
    from collections.abc import Callable

STEP_S = 0.125
STEPS_PER_READING = 2


@dataclass(kw_only=True)
class Machine:
    """One server: what it has under way, what it was asked, and what it has answered."""

    ready_at_s: float
    under_way: float = 0.0
    asked: float = 0.0
    answered: float = 0.0
    stuck: bool = False


@dataclass(kw_only=True)
class Site:
    """Servers behind a balancer, whose number `rule` decides."""

    rule: Rule
    full_rate: float = 200.0
    latency_s: float = 0.02
    room: float = 64.0
    start_s: float = 1.5
    now_s: float = 1000.0
    waiting: float = 0.0
    asked: float = 0.0
    machines: list[Machine] = field(default_factory=list)
    pulse: Pulse = field(default_factory=Pulse)
    scaling: Scaling = field(init=False)
    trace: list[tuple[float, int, str]] = field(default_factory=list)
    longest_wait: float = 0.0

    def __post_init__(self) -> None:
        count = self.rule.first
        self.machines = [Machine(ready_at_s=self.now_s) for _ in range(count)]
        self.scaling = Scaling(decided=Decided(group=self.rule.group, count=count))

    @property
    def count(self) -> int:
        return self.scaling.decided.count

    @property
    def counts(self) -> list[int]:
        """Each number that was decided, in order."""
        return [count for _, count, _ in self.trace]

    def run(self, seconds: float, load: Callable[[float], float] | float) -> Site:
        """Offer `load` requests a second, a number or a function of the time since now."""
        began_s = self.now_s
        for step in range(round(seconds / STEP_S)):
            rate = load(self.now_s - began_s) if callable(load) else load
            self._serve(max(0.0, rate))
            self.now_s += STEP_S
            if step % STEPS_PER_READING == 0:
                self._read()
        return self

    def _ready(self) -> list[Machine]:
        return [each for each in self.machines if each.ready_at_s <= self.now_s]

    def _serve(self, rate: float) -> None:
        """Spread what came evenly, as the fewest connections do, and answer what can be."""
        self.asked += rate * STEP_S
        self.waiting += rate * STEP_S
        ready = self._ready()
        total = self.waiting + sum(each.under_way for each in ready)
        for left, each in zip(
            range(len(ready), 0, -1),
            sorted(ready, key=lambda one: -one.under_way),
            strict=True,
        ):
            level = max(each.under_way, min(self.room, total / left))
            self.waiting -= level - each.under_way
            each.asked += level - each.under_way
            each.under_way, total = level, total - level
            if not each.stuck:
                most = min(each.under_way / self.latency_s, self.full_rate) * STEP_S
                done = min(most, each.under_way)
                each.under_way -= done
                each.answered += done
        self.longest_wait = max(self.longest_wait, self.waiting)

    def _read(self) -> None:
        seen = PoolSeen(
            at_s=self.now_s,
            servers=tuple(
                ServerSeen(
                    name=f"web.{number}",
                    takes=True,
                    under_way=round(each.under_way),
                    answered=int(each.answered),
                    asked=round(each.asked),
                )
                for number, each in enumerate(self.machines, start=1)
                if each.ready_at_s <= self.now_s
            ),
            waiting=round(self.waiting),
            asked=int(self.asked),
        )
        self.pulse, reading = of_pool(self.rule, self.pulse, seen)
        before = self.count
        self.scaling = decide(self.rule, self.scaling, reading)
        if self.count != before:
            self.trace.append((self.now_s, self.count, self.scaling.decided.why))
            self._resize(self.count)

    def _resize(self, count: int) -> None:
        while len(self.machines) < count:
            self.machines.append(Machine(ready_at_s=self.now_s + self.start_s))
        for gone in self.machines[count:]:  # it finishes what it has, elsewhere in the picture
            self.waiting += gone.under_way
        del self.machines[count:]
