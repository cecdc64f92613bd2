"""What is seen of a pool or a queue becomes a reading; workers follow the oldest task."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from millions.reconcile.scaling import Decided, Rule, Scaling, decide
from millions.reconcile.signals import (
    SILENT_S,
    PoolSeen,
    Pulse,
    ServerSeen,
    Tally,
    TasksSeen,
    WorkerSeen,
    of_pool,
    of_tasks,
    of_workers,
)

if TYPE_CHECKING:
    from collections.abc import Callable

WEB = Rule(group="web", least=1, most=10, first=1, target=16.0, idle_s=60.0)
WORKERS = Rule(group="workers", least=1, most=8, first=1, target=2.0, idle_s=30.0)
STEP_S = 0.25


def pool(at_s: float, *under_way: int, waiting: int = 0, answered: int = 0) -> PoolSeen:
    servers = tuple(
        ServerSeen(
            name=f"web.{number}",
            takes=True,
            under_way=each,
            answered=answered,
            asked=answered + each,
        )
        for number, each in enumerate(under_way, start=1)
    )
    return PoolSeen(at_s=at_s, servers=servers, waiting=waiting, asked=answered)


def test_what_waits_and_what_is_under_way_fill_servers_alike() -> None:
    _, found = of_pool(WEB, Pulse(), pool(10.0, 16, 16, waiting=16))
    assert (found.ready, found.needed) == (2, 3.0)
    _, drained = of_pool(WEB, Pulse(), replace(pool(10.0, 16, 16), waiting=0))
    assert drained.needed == 2.0


def test_a_server_that_takes_no_requests_is_not_ready() -> None:
    seen = pool(10.0, 4, 4)
    away = replace(seen.servers[1], takes=False)
    _, found = of_pool(WEB, Pulse(), replace(seen, servers=(seen.servers[0], away)))
    assert found.ready == 1


def test_answers_are_counted_over_servers_that_come_and_go() -> None:
    pulse, first = of_pool(WEB, Pulse(), pool(10.0, 1, 1, answered=100))
    pulse, second = of_pool(WEB, pulse, pool(10.25, 1, 1, answered=110))
    pulse, third = of_pool(WEB, pulse, pool(10.5, 1, answered=115))
    pulse, fourth = of_pool(WEB, pulse, pool(10.75, 1, 1, answered=120))
    assert [each.answered - first.answered for each in (second, third, fourth)] == [20, 25, 30]


def test_a_server_is_silent_only_while_it_has_requests_and_answers_none() -> None:
    pulse, _ = of_pool(WEB, Pulse(), pool(10.0, 0, answered=5))
    for at_s in (11.0, 13.0, 15.0):
        pulse, found = of_pool(WEB, pulse, pool(at_s, 0, answered=5))
    assert found.ready == 1, "it was asked nothing"
    for at_s in (16.0, 17.0, 15.0 + SILENT_S + 1):
        pulse, found = of_pool(WEB, pulse, pool(at_s, 3, answered=5))
    assert (found.ready, found.needed) == (0, 0.0)
    assert "no answer from web.1" in found.words
    _, found = of_pool(WEB, pulse, pool(20.0, 3, answered=6))
    assert found.ready == 1


def test_a_server_that_is_asked_nothing_new_is_not_silent() -> None:
    """It has streams, or a long answer under way."""
    pulse = Pulse()
    for second in range(20):
        pulse, found = of_pool(WEB, pulse, pool(10.0 + second, 5, answered=5))
        assert (found.ready, found.needed) == (1, 5 / 16)
    _, found = of_pool(WEB, pulse, pool(31.0, 5, answered=5, waiting=1))
    assert found.ready == 0, "somebody waits for it"


@dataclass(kw_only=True)
class Queue:
    """Tasks and the workers that take them, fluid: each worker does `rate` a second."""

    rate: float = 20.0
    slots: int = 4
    start_s: float = 1.5
    now_s: float = 1000.0
    waiting: float = 0.0
    added: float = 0.0
    done: float = 0.0
    ready_at_s: list[float] = field(default_factory=lambda: [0.0])
    arrivals: list[tuple[float, float]] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    oldest_s: float = 0.0
    scaling: Scaling = field(
        default_factory=lambda: Scaling(decided=Decided(group="workers", count=1))
    )

    def run(self, seconds: float, load: Callable[[float], float] | float) -> Queue:
        began_s = self.now_s
        for _ in range(round(seconds / STEP_S)):
            rate = load(self.now_s - began_s) if callable(load) else load
            self.added += rate * STEP_S
            self.arrivals.append((self.now_s, self.added))
            ready = sum(each <= self.now_s for each in self.ready_at_s)
            self.done = min(self.added, self.done + ready * self.rate * STEP_S)
            self.now_s += STEP_S
            while self.arrivals and self.arrivals[0][1] <= self.done + 0.5:
                self.arrivals.pop(0)
            self._read(ready)
        return self

    def _read(self, ready: int) -> None:
        left = self.added - self.done
        self.oldest_s = self.now_s - self.arrivals[0][0] if self.arrivals else 0.0
        running = min(round(left), ready * self.slots)
        seen = TasksSeen(
            at_s=self.now_s,
            workers=ready,
            slots=self.slots,
            running=running,
            waiting=round(left) - running,
            oldest_s=self.oldest_s,
            added=int(self.added),
            done=int(self.done),
        )
        before = self.scaling.decided.count
        self.scaling = decide(WORKERS, self.scaling, of_tasks(WORKERS, seen))
        count = self.scaling.decided.count
        if count != before:
            self.counts.append(count)
            self.ready_at_s = self.ready_at_s[:count]
            more = count - len(self.ready_at_s)
            self.ready_at_s += [self.now_s + self.start_s] * more


def test_workers_follow_a_step_by_the_age_of_the_oldest_task() -> None:
    found = Queue().run(30, 10).run(25, 90)
    assert 5 <= found.scaling.decided.count <= 7
    assert found.counts == sorted(found.counts)
    assert found.oldest_s < WORKERS.target
    assert "the oldest for" in found.scaling.decided.why


def test_workers_go_when_the_tasks_are_done_and_stay_gone() -> None:
    found = Queue().run(30, 90).run(300, 10)
    assert found.scaling.decided.count == 1
    highest = found.counts.index(max(found.counts))
    assert found.counts[:highest] == sorted(found.counts[:highest])
    assert found.counts[highest:] == sorted(found.counts[highest:], reverse=True)


def test_many_young_tasks_ask_for_no_more_workers() -> None:
    seen = TasksSeen(
        at_s=1.0, workers=2, slots=4, running=8, waiting=500, oldest_s=0.5, added=508, done=0
    )
    assert of_tasks(WORKERS, seen).needed <= 2


def test_a_backlog_of_one_burst_is_bounded_and_ends() -> None:
    found = Queue().run(10, 0).run(1, 2000).run(300, 5)
    assert 4 <= max(found.counts) <= WORKERS.most
    assert found.scaling.decided.count == 1


def test_workers_start_from_none() -> None:
    rule = replace(WORKERS, least=0)
    scaling = Scaling(decided=Decided(group="workers", count=0))
    for at in range(8):
        seen = TasksSeen(
            at_s=1.0 + at / 4,
            workers=0,
            slots=4,
            running=0,
            waiting=3,
            oldest_s=0.1 + at / 4,
            added=3,
            done=0,
        )
        scaling = decide(rule, scaling, of_tasks(rule, seen))
    assert scaling.decided.count == 1


def worker(number: int, *, held: int = 4, done: int = 0, waiting: int = 0) -> WorkerSeen:
    return WorkerSeen(
        name=f"workers.{number}.1",
        slots=4,
        held=held,
        done=done,
        waiting=waiting,
        oldest_s=3.0 if waiting else 0.0,
    )


def test_what_workers_hold_is_added_up_and_what_waits_for_all_is_not() -> None:
    seen = (worker(1, waiting=10), worker(2, held=6, waiting=9))
    _, found = of_workers(WORKERS, Tally(), 10.0, seen)
    assert (found.ready, found.needed) == (2, 3.0)
    assert found.backlog == 12, "two are held beyond what runs"
    assert "12 tasks wait, the oldest for 3.0 s, 2 s are meant; 8 run on 2 workers" in found.words


def test_what_workers_did_is_counted_although_they_come_and_go_and_begin_anew() -> None:
    tally, first = of_workers(WORKERS, Tally(), 10.0, (worker(1, done=50), worker(2, done=70)))
    tally, second = of_workers(WORKERS, tally, 10.5, (worker(1, done=60), worker(2, done=75)))
    tally, third = of_workers(WORKERS, tally, 11.0, (worker(1, done=65), worker(3, done=9)))
    _, fourth = of_workers(WORKERS, tally, 11.5, (worker(1, done=0), worker(3, done=10)))
    counted = [each.answered - first.answered for each in (second, third, fourth)]
    assert counted == [15, 20, 21]


def test_what_is_enqueued_is_what_was_done_and_what_there_is_more_of() -> None:
    tally, first = of_workers(WORKERS, Tally(), 10.0, (worker(1, done=5, waiting=10),))
    tally, second = of_workers(WORKERS, tally, 10.5, (worker(1, done=15, waiting=30),))
    assert second.asked - first.asked == 30
    _, third = of_workers(WORKERS, tally, 11.0, (worker(1, done=15, waiting=20),))
    assert third.asked == second.asked, "it never falls"


@settings(max_examples=8, deadline=None)
@given(st.floats(0.5, 150.0))
def test_constant_tasks_converge_and_then_are_quiet(rate: float) -> None:
    found = Queue().run(200, rate)
    before = list(found.counts)
    assert found.run(100, rate).counts == before
