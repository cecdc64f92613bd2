"""Which requests may fail, and how long nothing was answered, must be said as it was."""

from __future__ import annotations

from typing import Any

import pytest
from histories import judged, operation, titles

from millions.drill.checker import finding as f

CRASH = {"event": "kill", "id": "1", "aim": "web.1", "at": 10.0}


def request(at: float, done: float | None, outcome: str = "ok", **more: Any) -> dict[str, Any]:
    return operation("view", None, at, done, outcome=outcome, **more)


SORTS = {
    "in flight, unrepeatable": request(9.5, 10.2, "unknown", status="reset"),
    "in flight, repeatable": request(9.5, 10.2, "unknown", status="reset", repeatable=True),
    "before": request(9.0, 9.5, "failed", status=503),
    "later": request(10.5, 11, "failed", status=503),
    "never answered": request(9.0, None, "unknown", status="timeout"),
}


@pytest.mark.parametrize(
    ("may_fail", "allowed"),
    [
        ("none", set()),
        ("unrepeatable", {"in flight, unrepeatable", "never answered"}),
        ("in-flight", {"in flight, unrepeatable", "in flight, repeatable", "never answered"}),
        ("any", set(SORTS)),
    ],
)
def test_what_may_fail_is_allowed_and_nothing_else(may_fail: str, allowed: set[str]) -> None:
    for name, failed in SORTS.items():
        found = judged(CRASH, request(0, 1), failed, may_fail=may_fail)
        assert (titles(found) == {}) == (name in allowed), name


def test_a_planned_change_excuses_nothing() -> None:
    planned = CRASH | {"event": "deploy", "planned": True}
    found = judged(planned, SORTS["in flight, unrepeatable"], may_fail="unrepeatable")
    assert titles(found) == {f.FAILED: 1}


def test_failures_are_blamed_on_the_promise_that_the_history_is_about() -> None:
    for promise in ("G2", "G3", "G9"):
        header = {"history": 1, "promises": [promise], "may_fail": "none"}
        found = judged(header, request(0, 1), request(1, 2, "failed"))
        assert found.held == {promise: False}


def test_failures_are_counted_by_sort() -> None:
    failed = SORTS["in flight, repeatable"]
    (row,) = judged(
        CRASH, failed, failed, request(20, 21, "unknown", status="reset", repeatable=True)
    ).failures
    assert (row.kind, row.status, row.repeatable) == ("view", "reset", True)
    assert (row.in_flight, row.others) == (2, 1)


def test_the_longest_gap_of_each_kind_is_told() -> None:
    found = judged(
        *(request(at, at + 0.1) for at in (0, 1, 2, 7, 8)),
        *(operation("other", None, at, at + 0.1) for at in (0, 1, 2, 3, 4, 5, 6, 7, 8)),
    )
    gaps = {each.kind: each for each in found.gaps}
    assert gaps["view"].seconds == pytest.approx(5)
    assert gaps["view"].at == pytest.approx(2.1)
    assert gaps["other"].seconds == pytest.approx(1)
    assert found.longest_gap is not None
    assert found.longest_gap.seconds == pytest.approx(1)


GOOD = [request(at, at + 0.1) for at in (0, 1, 2)]


@pytest.mark.parametrize(
    ("more", "seconds"),
    [
        ([request(2.2, 12, "failed")], 9.9),
        ([request(2.2, None, "unknown"), operation("other", None, 19, 20)], 17.9),
        ([request(9, None, "unknown")], 6.9),
        ([operation("other", None, 19, 20)], 1),
    ],
    ids=[
        *("its last failed", "its last was never answered"),
        *("nothing was answered after it", "nobody asked for it any more"),
    ],
)
def test_a_gap_may_last_to_the_end_of_what_was_asked(
    more: list[dict[str, Any]], seconds: float
) -> None:
    gaps = {each.kind: each.seconds for each in judged(*GOOD, *more).gaps}
    assert gaps["view"] == pytest.approx(seconds)


def test_what_was_never_answered_well_is_one_gap() -> None:
    found = judged(*(request(at, at + 0.5, "failed", status=503) for at in (1, 2, 3)))
    (gap,) = found.gaps
    assert (gap.kind, gap.at, gap.seconds) == ("view", 1, 2.5)
    assert found.kinds == {"view": 0}
    assert found.longest_gap is not None
    assert found.longest_gap.seconds == pytest.approx(2.5)


def test_latencies_are_told_before_during_and_after_an_event() -> None:
    slow = {"event": "recovered", "ends": "1", "at": 12.0}
    fast = [request(at, at + 0.01) for at in (8, 9, 13, 14)]
    found = judged(CRASH, slow, *fast, request(10.5, 11.5), request(10.6, 11.0))
    (around,) = found.around
    assert (around.before.count, around.during.count, around.after.count) == (2, 2, 2)
    assert around.before.worst == pytest.approx(0.01)
    assert around.during.worst == pytest.approx(1.0)
    assert around.during.p50 == pytest.approx(0.4)


def test_the_time_line_counts_every_answer_once() -> None:
    found = judged(
        *(request(at / 10, at / 10 + 0.05) for at in range(100)), request(3, 4, "failed")
    )
    assert sum(each.good for each in found.line) == 100
    assert sum(each.failed for each in found.line) == 1
