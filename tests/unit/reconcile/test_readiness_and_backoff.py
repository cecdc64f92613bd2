"""Hysteresis of readiness, and how long a unit that fails waits."""

from __future__ import annotations

import pytest
from world import ANYWHERE

from millions.model import Phase, Probe, Trouble
from millions.reconcile import backoff
from millions.reconcile.readiness import Readiness, after

PROBE = Probe(address=ANYWHERE, rise=2, fall=3)


def answers(phase: Phase, told: str) -> Phase:
    """The phase after these answers: + good, - bad."""
    state = Readiness(phase=phase)
    for each in told:
        state = after(state, PROBE, good=each == "+")
    return state.phase


@pytest.mark.parametrize(
    ("before", "told", "then"),
    [
        (Phase.STARTING, "+", Phase.STARTING),
        (Phase.STARTING, "++", Phase.READY),
        (Phase.STARTING, "+-+", Phase.STARTING),
        (Phase.STARTING, "-----", Phase.STARTING),
        (Phase.READY, "--", Phase.READY),
        (Phase.READY, "--+--", Phase.READY),
        (Phase.READY, "---", Phase.UNREADY),
        (Phase.UNREADY, "+", Phase.UNREADY),
        (Phase.UNREADY, "+-+", Phase.UNREADY),
        (Phase.UNREADY, "++", Phase.READY),
        (Phase.STOPPING, "++++", Phase.STOPPING),
        (Phase.EXITED, "++++", Phase.EXITED),
    ],
)
def test_only_answers_in_a_row_change_a_phase(before: Phase, told: str, then: Phase) -> None:
    assert answers(before, told) is then


def failed(times: int, *, ready_for_s: float = 0.0) -> Trouble:
    trouble = None
    for at in range(times):
        trouble = backoff.after_failure(
            trouble, revision="r", now_s=float(at), ready_for_s=ready_for_s
        )
    assert trouble is not None
    return trouble


def test_the_first_failure_is_answered_at_once_and_later_ones_ever_later() -> None:
    waits = [backoff.next_start_at_s(failed(times)) - (times - 1) for times in range(1, 12)]
    assert waits[0] == 0.0
    assert waits == sorted(waits)
    assert waits[-1] == max(backoff.DELAYS_S) == 30.0


def test_a_process_that_was_well_for_long_begins_a_new_row() -> None:
    assert failed(5, ready_for_s=backoff.STEADY_S).failures == 1
    assert failed(5, ready_for_s=backoff.STEADY_S - 1).failures == 5


def test_without_trouble_nothing_waits() -> None:
    assert backoff.next_start_at_s(None) == 0.0
    assert not backoff.has_failed(None)
