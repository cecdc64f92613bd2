"""Counters must hold what was counted; tasks must run if they were committed, and only then."""

from __future__ import annotations

from typing import Any

import pytest
from histories import judged, operation, titles

from millions.drill.checker import finding as f
from millions.errors import HistoryError


def count(amount: Any, at: float, done: float | None, **more: Any) -> dict[str, Any]:
    return operation("count", amount, at, done, **more)


def total(value: Any, at: float, **more: Any) -> dict[str, Any]:
    return operation("total", value, at, at + 1, **more)


COUNTED = (
    count(5, 0, 1),
    count(3, 2, None),
    count(1, 4, 5, outcome="failed"),
    count(10, 20, 22),
)


@pytest.mark.parametrize(
    ("reading", "title"),
    [
        (total(5, 10), ""),
        (total(8, 10), ""),
        (total(0, 0.5), ""),
        (total(15, 20), ""),
        (total(0, 10), f.LOST_COUNT),
        (total(0, 10, level="session"), ""),
        (total(9, 10), f.EXTRA_COUNT),
        (total(9, 10, level="session"), f.EXTRA_COUNT),
        (total(8, 23), f.LOST_COUNT),
        (total(19, 23), f.EXTRA_COUNT),
    ],
    ids=[
        *("unknown one is not there", "unknown one is there", "while it is counted"),
        *("begun during the reading", "acknowledged one is missing", "missing, a session's"),
        *("failed one is there", "failed one is there, a session's"),
        *("acknowledged later, missing", "more than all"),
    ],
)
def test_a_total_is_between_what_is_certain_and_what_is_possible(
    reading: dict[str, Any], title: str
) -> None:
    assert titles(judged(*COUNTED, reading)) == ({title: 1} if title else {})


def test_attempts_of_one_key_count_once() -> None:
    attempts = (count(5, 0, None, idempotency="a"), count(5, 2, 3, idempotency="a"))
    assert titles(judged(*attempts, total(5, 4))) == {}
    assert titles(judged(*attempts, total(10, 4))) == {f.EXTRA_COUNT: 1}


@pytest.mark.parametrize("amount", ["five", 0, -1, None], ids=str)
def test_an_amount_is_a_number_above_0(amount: Any) -> None:
    with pytest.raises(HistoryError, match="amount above 0"):
        judged(count(amount, 0, 1))


def enqueue(value: Any, at: float, done: float | None, **more: Any) -> dict[str, Any]:
    return operation("enqueue", value, at, done, **more)


def ran(*values: str, at: float = 10, level: str = "linear") -> dict[str, Any]:
    return operation("ran", list(values), at, at + 1, level=level)


ASKED = (
    enqueue("a", 0, 1),
    enqueue("b", 2, None),
    enqueue("c", 3, 4, outcome="failed"),
    operation("undone", "d", 5, 6),
    operation("undone", "e", 5, None),
)


@pytest.mark.parametrize(
    ("reading", "title"),
    [
        (ran("a"), ""),
        (ran("b", "a"), ""),
        (ran(level="session"), ""),
        (ran("b"), f.NEVER_RAN),
        (ran("a", "a"), f.TWICE_RAN),
        (ran("a", "a", level="session"), f.TWICE_RAN),
        (ran("a", "d"), f.UNDONE_RAN),
        (ran("a", "e"), f.UNDONE_RAN),
        (ran("a", "c"), f.STRANGE_TASK),
        (ran("a", "z"), f.STRANGE_TASK),
        (ran("a", at=-5), f.STRANGE_TASK),
    ],
    ids=[
        *("unknown one did not", "unknown one did", "not yet, while some are left", "never ran"),
        *("twice", "twice, while some are left", "rolled back", "rolled back, no answer"),
        *("said to have failed", "never enqueued", "before it was enqueued"),
    ],
)
def test_a_task_runs_if_it_was_committed_and_once_for_its_key(
    reading: dict[str, Any], title: str
) -> None:
    found = judged({"history": 1, "promises": ["G6"]}, *ASKED, reading)
    assert titles(found) == ({title: 1} if title else {})
    assert found.held == {"G6": not title}


def test_a_key_that_was_enqueued_twice_takes_effect_once() -> None:
    again = (*ASKED, enqueue("a", 7, 8), enqueue("b", 7, 8))
    assert titles(judged(*again, ran("a", "b"))) == {}
    assert titles(judged(*again, ran("a"))) == {f.NEVER_RAN: 1}
    assert titles(judged(*again, ran("a", "b", "b"))) == {f.TWICE_RAN: 1}


@pytest.mark.parametrize("wrong", [enqueue(7, 0, 1), operation("ran", "a", 0, 1)], ids=str)
def test_what_is_no_key_or_no_list_is_refused_with_its_line(wrong: dict[str, Any]) -> None:
    with pytest.raises(HistoryError, match="line 1"):
        judged(wrong)
