"""Traces of load against the rule: it follows quickly, never far too high, and is quiet then."""

from __future__ import annotations

import itertools
import math
import random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from traffic import Site

from millions.reconcile.scaling import (
    GAP_S,
    PATIENCE_S,
    Decided,
    Held,
    Reading,
    Rule,
    Scaling,
    allowed,
    decide,
)

FULL_RATE = 200.0
"""What one server of the traces answers each second."""

IDLE_S = 60.0
MOST = 10
EXAMPLES = 25
TRACES = 8
"""Of a law about whole traces, which take a tenth of a second each."""

BEGIN_S = 1000.0


def rule(**more: object) -> Rule:
    known = {"group": "web", "least": 1, "most": MOST, "first": 1, "target": 16.0, "idle_s": IDLE_S}
    return Rule(**{**known, **more})  # type: ignore[arg-type]


def site(**more: object) -> Site:
    return Site(rule=rule(**more), full_rate=FULL_RATE)


def turns(counts: list[int]) -> int:
    """How often the number turned round: from up to down, or from down to up."""
    steps = [after - before for before, after in itertools.pairwise(counts)]
    pairs = itertools.pairwise(steps)
    return sum((one > 0) is not (two > 0) for one, two in pairs)


def needed(rate: float) -> int:
    return max(1, math.ceil(rate / FULL_RATE))


def test_a_step_to_five_times_the_load_is_followed_within_two_seconds() -> None:
    found = site().run(30, 130)
    began_s = found.now_s
    found.run(60, 650)
    assert [count for at_s, count, _ in found.trace if at_s <= began_s + 2.0][-1] >= needed(650)
    assert max(found.counts) <= needed(650) + 1
    assert turns(found.counts) == 0
    assert found.waiting == pytest.approx(0.0, abs=1.0)


def test_after_the_step_they_go_again_once_fewer_were_enough_for_long_enough() -> None:
    found = site().run(30, 130).run(60, 650)
    ended_s, before = found.now_s, found.count
    found.run(IDLE_S - 2, 130)
    assert found.count == before
    found.run(4 * IDLE_S, 130)
    downs = [at_s for at_s, _, _ in found.trace if at_s > ended_s]
    assert found.count == 1
    assert downs[0] >= ended_s + IDLE_S - 1
    assert turns(found.counts) == 1


def test_servers_that_start_slowly_are_not_asked_for_twice() -> None:
    found = site()
    found.start_s = 10.0
    found.run(30, 130).run(60, 650)
    assert max(found.counts) <= needed(650) + 2, "one more, for what had to wait meanwhile"
    assert turns(found.counts) == 0


def test_a_ramp_is_followed_one_by_one_with_nothing_waiting_long() -> None:
    found = site().run(300, lambda at_s: 50 + 5 * at_s)
    assert found.counts == list(range(2, needed(50 + 5 * 300) + 1))
    assert found.longest_wait < FULL_RATE


@pytest.mark.parametrize(
    ("seconds", "rate"), [(0.3, 2000.0), (5.0, 1500.0)], ids=["0.3 s", "five seconds"]
)
def test_a_spike_ends_where_it_began(seconds: float, rate: float) -> None:
    found = site().run(30, 100).run(seconds, rate).run(5 * IDLE_S, 100)
    assert max(found.counts) <= needed(rate) * 1.25 + 1
    assert found.count == 1
    assert turns(found.counts) == 1


def test_a_quick_sawtooth_is_met_with_its_peak_and_then_nothing_changes() -> None:
    found = site().run(600, lambda at_s: 100 + 900 * ((at_s % 20) / 20))
    assert turns(found.counts) == 0
    assert needed(1000) - 1 <= found.count <= needed(1000) + 1


def test_a_slow_sawtooth_turns_at_most_twice_each_time() -> None:
    found = site().run(1200, lambda at_s: 100 + 900 * ((at_s % 200) / 200))
    assert turns(found.counts) <= 2 * 1200 / 200
    assert max(found.counts) <= needed(1000) + 1


@pytest.mark.parametrize("mean", [60.0, 190.0, 400.0, 570.0, 900.0])
def test_noise_makes_it_turn_no_more_than_once(mean: float) -> None:
    noise = random.Random(7)  # the same noise each time
    found = site(first=3).run(900, lambda _at_s: noise.gauss(mean, mean / 3))
    assert turns(found.counts) <= 1
    assert needed(mean) <= found.count <= needed(mean * 1.25) + 1
    assert all(at_s < BEGIN_S + 600 for at_s, _, _ in found.trace), "quiet in the end"


def test_noise_of_few_requests_keeps_no_server_for_ever() -> None:
    noise = random.Random(7)
    found = site(idle_s=30.0)
    found.full_rate = 80.0
    found.run(20, 40).run(15, 200)
    found.run(200, lambda _at_s: noise.gauss(46, 30))
    assert found.count == 1
    assert turns(found.counts) == 1


def test_without_load_the_least_are_left() -> None:
    found = site(first=5, least=2).run(5 * IDLE_S, 0.0)
    assert found.counts == [4, 3, 2]


def test_growth_beyond_the_most_stops_there_and_is_said() -> None:
    found = site(most=4).run(60, 100).run(120, 2000)
    assert max(found.counts) == 4
    assert found.scaling.held is Held.MOST
    assert found.run(170, 0.0).count == 4, "what waits is worked off first"


def test_one_stuck_server_asks_for_nothing() -> None:
    found = site(first=3).run(30, 400)
    found.machines[1].stuck = True
    found.run(IDLE_S, 400)
    assert max([3, *found.counts]) <= 4
    assert "no answer from web.2" in found.scaling.readings[-1].words
    assert found.count >= 3, "those that answer are needed"


def test_where_none_answers_more_are_not_added_again_and_again() -> None:
    found = site(first=3).run(30, 400)
    for each in found.machines:
        each.stuck = True
    began_s = found.now_s
    found.start_s = 1e9  # nor does a new one: the database is away
    found.run(300, 400)
    assert found.count <= 6
    assert all(at_s <= began_s + 5 for at_s, _, _ in found.trace)
    assert found.scaling.held is Held.SILENT


def test_what_a_full_server_answers_is_known_before_one_is_taken_away() -> None:
    """At 350 a second two servers have little under way, and one would be overrun."""
    found = site(first=2).run(40 * IDLE_S, 350)
    assert turns(found.counts) <= 1
    assert found.counts.count(1) <= 1, "it is tried once and remembered"
    assert found.count >= needed(350)


@pytest.mark.parametrize("rate", [6.0, 9.0, 14.0])
def test_slow_answers_are_too_few_to_count_and_remembered_all_the_same(rate: float) -> None:
    found = Site(rule=rule(idle_s=10.0), full_rate=5.0).run(600, rate)
    assert turns(found.counts) <= 1
    assert math.ceil(rate / 5.0) <= found.count <= math.ceil(1.5 * rate / 5.0) + 1


def test_another_release_is_tried_anew() -> None:
    found = site(first=1).run(60, 350)
    assert found.count == 3
    found.full_rate = 5 * FULL_RATE
    assert found.run(10 * IDLE_S, 350).count == 3
    found.rule = rule(release="r2")
    assert found.run(10 * IDLE_S, 350).count == 1


def test_a_gap_forgets_what_would_have_been_enough() -> None:
    found = site(first=3).run(IDLE_S - 5, 10)
    found.now_s += 2 * GAP_S
    assert found.run(IDLE_S - 5, 10).counts == []
    assert found.run(10, 10).counts == [2]


def test_counters_that_begin_anew_change_nothing() -> None:
    found = site().run(60, 300)
    before = list(found.counts)
    found.asked = 0.0
    for each in found.machines:
        each.answered = 0.0
    assert found.run(20, 300).counts == before


def test_a_server_that_never_becomes_ready_is_not_waited_for_for_ever() -> None:
    found = site()
    found.start_s = 1e9
    found.run(10, 100).run(10, 300)
    first = found.count
    found.run(2 * PATIENCE_S, 300)
    assert found.count > first
    assert found.count <= first + 2


def test_new_limits_hold_at_once_and_say_so() -> None:
    before = Scaling(decided=Decided(group="web", count=8))
    after = allowed(rule(least=2, most=5), before, BEGIN_S)
    assert decide(rule(least=2, most=5), before, reading()).decided == after.decided
    assert after.decided.count == 5
    assert after.decided.why == "the stack file allows 2 to 5"


def test_every_decision_says_the_figures_that_it_was_made_from() -> None:
    found = site().run(30, 130).run(200, 650).run(4 * IDLE_S, 130)
    up, down = found.trace[0][2], found.trace[-1][2]
    assert " requests under way and " in up
    assert " waiting for 1 server, 16 are meant for each; " in up
    assert " asked and " in up
    assert down.startswith("fewer would have been enough for 60 s; ")


def test_none_at_all_may_run_where_the_least_is_none() -> None:
    idle = Scaling(decided=Decided(group="workers", count=0))
    for at_s in (0.0, 0.5, 1.0):
        idle = decide(rule(least=0), idle, reading(at_s, ready=0))
    assert idle.decided.count == 0
    for at_s in (1.5, 2.0, 2.5):
        idle = decide(rule(least=0), idle, reading(at_s, ready=0, wanted=1.0))
    assert idle.decided.count == 1


def reading(at_s: float = 0.0, *, ready: int = 1, wanted: float = 0.0) -> Reading:
    return Reading(at_s=BEGIN_S + at_s, ready=ready, needed=wanted, asked=0, answered=0)


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.floats(0.0, 20.0), st.integers(0, 12), st.floats(0, 100), st.integers(-50, 500)
        ),
        max_size=60,
    ),
    st.integers(0, 4),
    st.integers(0, 6),
    st.integers(0, 20),
)
def test_the_number_is_always_within_the_limits(
    steps: list[tuple[float, int, float, int]], least: int, more: int, first: int
) -> None:
    limits = rule(least=least, most=least + more, idle_s=5.0)
    scaling, at_s, count = Scaling(decided=Decided(group="web", count=first)), BEGIN_S, 0
    for pause_s, ready, wanted, came in steps:
        at_s, count = at_s + pause_s, max(0, count + came)
        seen = Reading(at_s=at_s, ready=ready, needed=wanted, asked=count, answered=count)
        before = scaling.decided
        scaling = decide(limits, scaling, seen)
        assert limits.least <= scaling.decided.count <= limits.most
        assert (scaling.decided.count == before.count) or scaling.decided.why
        assert len(scaling.enough) <= more + 1


@settings(max_examples=TRACES, deadline=None)
@given(st.floats(0, 1500), st.integers(1, MOST), st.sampled_from([5.0, 50.0, 200.0, 1000.0]))
def test_constant_load_converges_and_then_is_quiet(
    rate: float, first: int, full_rate: float
) -> None:
    assume(rate % full_rate >= full_rate / 20)  # else it takes minutes until a server is full
    found = Site(rule=rule(first=first, idle_s=10.0), full_rate=full_rate, room=64.0)
    found.run(250, rate)
    settled, changes = found.count, len(found.trace)
    assert turns(found.counts) <= 3, "what a full server answers is tried once, or twice"
    found.run(100, rate)
    assert (found.count, len(found.trace)) == (settled, changes)
    assert settled >= min(MOST, math.floor(rate / full_rate))


@settings(max_examples=TRACES, deadline=None)
@given(st.floats(100, 1900), st.floats(1.2, 8.0))
def test_a_step_overshoots_by_a_quarter_and_one_at_most(rate: float, factor: float) -> None:
    found = site(most=100).run(40, rate / factor).run(60, rate)
    assert max([1, *found.counts]) <= math.ceil(1.3 * rate / FULL_RATE) + 1
