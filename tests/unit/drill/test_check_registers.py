"""The checker of registers must find each anomaly and accuse no history that can be explained."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
from histories import judged, read, titles, write
from hypothesis import given, settings
from hypothesis import strategies as st

from millions.drill.checker import finding as f


def test_a_lost_acknowledged_write_is_found() -> None:
    found = judged(write(1, 0, 1), write(2, 2, 3), read(1, 4, 5, user="v"))
    assert titles(found) == {f.LOST_WRITE: 1}
    assert found.held["G1"] is False
    assert "line 3" in found.findings[0].examples[0]


def test_a_write_that_is_seen_again_was_not_lost_but_read_stale() -> None:
    found = judged(write(1, 0, 1), write(2, 2, 3), read(1, 4, 5, user="v"), read(2, 6, 7, user="w"))
    assert titles(found) == {f.STALE: 1}
    assert found.held["G1"] is True


def test_versions_tell_a_stale_read_from_a_lost_write() -> None:
    history = [
        write(1, 0, 1, version=1),
        write(2, 2, 3, version=2),
        read(1, 4, 5, user="v", version=1),
    ]
    assert titles(judged(*history, write(3, 6, 7, version=3))) == {f.STALE: 1}
    assert titles(judged(*history, write(3, 6, 7, version=2))) == {f.LOST_WRITE: 1}


def test_every_write_that_a_going_back_undid_is_counted() -> None:
    writes = [write(each, each * 2, each * 2 + 1) for each in range(1, 6)]
    assert titles(judged(*writes, read(1, 20, 21, user="v")))[f.LOST_WRITE] == 4


def test_a_write_before_the_first_read_of_nothing_is_lost() -> None:
    assert titles(judged(write(1, 0, 1), read(None, 2, 3, user="v"))) == {f.LOST_WRITE: 1}


@pytest.mark.parametrize(
    "history",
    [
        pytest.param([read(7, 0, 1)], id="never written"),
        pytest.param([read(7, 0, 1), write(7, 2, 3)], id="before it was written"),
        pytest.param([write(7, 0, 1, outcome="failed"), read(7, 2, 3)], id="failed"),
    ],
)
def test_a_value_that_cannot_be_there_is_a_phantom(history: list[dict[str, Any]]) -> None:
    assert titles(judged(*history)) == {f.PHANTOM: 1}


@pytest.mark.parametrize(
    "history",
    [
        pytest.param([write(1, 0, 1), read(1, 2, 3)], id="in turn"),
        pytest.param([write(1, 0, 9), read(1, 2, 3), read(1, 4, 5)], id="read while it is written"),
        pytest.param([write(1, 0, 9), write(2, 0, 9), read(1, 10, 11)], id="concurrent writes"),
        pytest.param([write(1, 0, 1), write(2, 2, None), read(1, 4, 5)], id="unknown, not done"),
        pytest.param([write(1, 0, 1), write(2, 2, None), read(2, 4, 5)], id="unknown, done"),
        pytest.param(
            [write(1, 0, 1), write(2, 2, None), read(1, 4, 5), read(2, 6, 7)], id="unknown, later"
        ),
        pytest.param(
            [write(1, 0, 1), write(2, 2, 3, outcome="failed"), read(1, 4, 5)], id="failed"
        ),
        pytest.param([read(None, 0, 1), write(1, 0, 9), read(None, 2, 3)], id="not yet there"),
    ],
)
def test_a_history_that_can_be_explained_is_accused_of_nothing(
    history: list[dict[str, Any]],
) -> None:
    assert titles(judged(*history)) == {}
    assert judged(*history).held["G1"] is True


def test_a_repeat_with_an_idempotency_key_is_one_write() -> None:
    history = [
        write(1, 0, None, idempotency="a"),
        write(1, 2, 3, idempotency="a", attempt=2),
        write(2, 4, 5),
        read(2, 6, 7),
    ]
    assert titles(judged(*history)) == {}
    assert titles(judged(*history, read(1, 8, 9, user="v"))) == {f.LOST_WRITE: 1}


def test_a_repeat_without_a_key_may_take_effect_at_any_time() -> None:
    found = judged(write(1, 0, None), write(1, 2, 3), write(2, 4, 5), read(1, 8, 9, user="v"))
    assert titles(found) == {}
    assert found.ambiguous == 1


def test_a_read_that_promises_its_own_session_only_may_lag_behind() -> None:
    found = judged(write(1, 0, 1), write(2, 2, 3), read(1, 4, 5, user="v", level="session"))
    assert titles(found) == {}


def explained(history: list[dict[str, Any]]) -> bool:
    """Whether some order explains a history, by trying all: what the checker must agree with."""
    sure = [each for each in history if each["kind"] == "read" or each["outcome"] == "ok"]
    maybe = [each for each in history if each["outcome"] == "unknown" and each["kind"] == "write"]
    return any(
        _fits(order)
        for count in range(len(maybe) + 1)
        for chosen in itertools.combinations(maybe, count)
        for order in itertools.permutations([*sure, *chosen])
    )


def _fits(order: tuple[dict[str, Any], ...]) -> bool:
    value = None
    for at, each in enumerate(order):
        ends = math.inf if each["done"] is None else each["done"]
        if any(ends < former["at"] for former in order[:at]):
            return False
        if each["kind"] == "write":
            value = each["value"]
        elif each["value"] != value:
            return False
    return True


@st.composite
def small_histories(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Up to six operations on one key at times that overlap in every way."""
    history = []
    writes = draw(st.integers(0, 3))
    for value in range(writes):
        at = draw(st.integers(0, 12))
        done = at + draw(st.integers(1, 6))
        outcome = draw(st.sampled_from(["ok", "ok", "unknown", "failed"]))
        gave_up = None if draw(st.booleans()) and outcome == "unknown" else done
        history.append(write(value, at, gave_up, outcome=outcome, user=f"w{value}"))
    for number in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, 12))
        value = draw(st.sampled_from([None, *range(writes)]))
        done = at + draw(st.integers(1, 6))
        history.append(read(value, at, done, user=f"r{number}"))
    return history


@settings(max_examples=600, deadline=None)
@given(small_histories())
def test_it_agrees_with_trying_every_order(history: list[dict[str, Any]]) -> None:
    for each in history:
        if each["kind"] == "write" and each["outcome"] == "unknown":
            each["done"] = None  # it may take effect after its client gave up
    wrong = {
        title: count
        for title, count in titles(judged(*history)).items()
        if title in (f.LOST_WRITE, f.STALE, f.PHANTOM)
    }
    assert (wrong == {}) == explained(history), wrong
