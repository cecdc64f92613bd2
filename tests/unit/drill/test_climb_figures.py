"""What is said of a climb must be what was recorded of it: steps, stays, pauses, costs."""

from __future__ import annotations

import pytest
from climbs_recorded import EVENTS, climbed, event, samples
from histories import operation

from millions.drill.climbs import marks
from millions.drill.climbs import samples as s


def test_a_step_lasts_from_its_begin_to_its_end_and_knows_its_rungs() -> None:
    first, second = climbed().steps
    assert (first.step.name, first.step.began, first.step.ended) == ("database", 10.0, 14.0)
    assert (second.step.rung_from, second.step.rung_to, second.step.state) == (2, 3, "ended")


def test_a_pause_is_told_of_the_step_in_which_it_was() -> None:
    first, second = climbed().steps
    assert first.figures.pause == pytest.approx(0.4)
    assert second.figures.pause == pytest.approx(0.1)
    worst = climbed().worst_step
    assert worst is not None
    assert worst.step.name == "database"


def test_a_pause_that_goes_on_after_the_step_counts_for_it_too() -> None:
    events = [event(10.0, "step", "began", "x", (1, 2)), event(11.2, "step", "ended", "x", (1, 2))]
    (only,) = climbed(events=events).steps
    assert only.figures.pause == pytest.approx(0.4)


def test_stays_are_the_times_without_a_step_each_on_its_rung() -> None:
    found = [(each.stay.rung, each.stay.began, each.stay.ended) for each in climbed().stays]
    assert found == [(1, 0.0, 10.0), (3, 20.0, 30.0)]  # between the steps was a tenth of a second


def test_rate_and_latency_of_a_stay_are_those_of_its_answers() -> None:
    first = climbed().stays[0].figures
    assert first.good == 100
    assert first.rate == pytest.approx(10.0)
    assert (first.p50, first.p99) == (pytest.approx(0.02), pytest.approx(0.02))


def test_cpu_of_a_request_is_that_of_all_tiers_by_the_good_answers() -> None:
    first, last = climbed().stays
    assert first.cpu_a_request_s == pytest.approx(1.0 / 100)
    assert last.cpu_s == {"web": pytest.approx(1.0), "balancer": pytest.approx(0.2)}
    assert last.cpu_a_request_s == pytest.approx(1.2 / last.figures.good)
    assert last.memory_mib == {"web": pytest.approx(100.0), "balancer": pytest.approx(10.0)}
    assert last.units == {"web": 1, "balancer": 1}


def test_cpu_between_two_samples_is_used_evenly() -> None:
    assert s.cpu_s(samples(), 3.25, 3.75) == {"web": pytest.approx(0.05)}


def test_a_tier_that_left_keeps_what_it_has_used() -> None:
    gone = (
        *samples()[:2],
        *(s.Sample(at=float(at), tiers={"x": samples()[0].tiers["web"]}) for at in (2, 3)),
    )
    assert s.cpu_s(gone, 0.0, 3.0) == {"web": pytest.approx(0.1)}


def test_samples_read_back_as_they_were_written_and_a_cut_line_is_left_out() -> None:
    lines = [each.line() for each in samples()]
    assert s.parse([*lines, b'{"at": 31']) == samples()


def test_a_failed_request_makes_the_climb_unwell_whenever_it_was() -> None:
    assert climbed().well
    failed = operation("view", None, 15.0, 15.1, outcome="failed", status=502, repeatable=True)
    unwell = climbed(failed)
    assert not unwell.well
    assert unwell.failed == 1
    assert unwell.steps[1].figures.failed == 1


def test_a_step_that_never_ended_makes_the_climb_unwell_and_lasts_to_the_end() -> None:
    unfinished = climbed(events=EVENTS[:7])
    assert not unfinished.well
    assert unfinished.steps[-1].step.state == "began"
    assert unfinished.steps[-1].step.ended == 30.0


def test_a_step_that_failed_and_was_gone_on_with_leaves_a_finished_climb() -> None:
    failed = [*EVENTS[:5], event(13.0, "step", "failed", "database", (1, 2))]
    assert not climbed(events=failed).finished
    again = event(13.5, "step", "began", "database", (1, 2))
    assert climbed(events=[*failed, again, *EVENTS[5:]]).finished


def test_the_rung_changes_when_a_step_ends_and_goes_back_when_one_is_undone() -> None:
    events = [
        event(1.0, "step", "began", "a", (1, 2)),
        event(2.0, "step", "ended", "a", (1, 2)),
        event(3.0, "step", "began", "b", (2, 3)),
        event(4.0, "step", "failed", "b", (2, 3)),
        event(5.0, "step", "began", "a back", (2, 1)),
        event(6.0, "step", "undone", "a back", (2, 1)),
    ]
    standing = marks.levels(events, origin=1_000_000.0)
    assert standing == ((0.0, 1), (2.0, 2), (6.0, 1))
    assert [marks.level(standing, at) for at in (0.5, 3.5, 7.0)] == [1, 2, 1]
