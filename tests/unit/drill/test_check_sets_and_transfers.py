"""The checkers of sets and transfers must find what is lost, twice or invented; nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from histories import add, balances, judged, members, operation, titles, transfer

from millions.drill.checker import finding as f


def test_a_lost_addition_is_found() -> None:
    found = judged(add(1, 0, 1), add(2, 2, 3), members([1], 4, 5), members([1], 6, 7))
    assert titles(found) == {f.LOST_ELEMENT: 1}
    assert found.held["G1"] is False


def test_an_addition_that_comes_back_was_stale() -> None:
    found = judged(add(1, 0, 1), members([], 2, 3), members([1], 4, 5))
    assert titles(found) == {f.STALE_SET: 1}


def test_an_unknown_addition_that_was_read_must_stay() -> None:
    found = judged(add(1, 0, None), members([1], 2, 3), members([], 4, 5))
    assert titles(found) == {f.LOST_ELEMENT: 1}


def test_an_element_that_is_there_twice_is_found() -> None:
    found = judged(
        add(1, 0, None, idempotency="a"), add(1, 2, 3, idempotency="a"), members([1, 1], 4, 5)
    )
    assert titles(found) == {f.DUPLICATE: 1}
    assert found.held["G3"] is False


def test_an_element_that_was_added_twice_may_be_there_twice() -> None:
    assert titles(judged(add(1, 0, 1), add(1, 2, 3), members([1, 1], 4, 5))) == {}


@pytest.mark.parametrize(
    "history",
    [
        pytest.param([members([7], 0, 1)], id="never added"),
        pytest.param([members([7], 0, 1), add(7, 2, 3)], id="before it was added"),
        pytest.param([add(7, 0, 1, outcome="failed"), members([7], 2, 3)], id="failed"),
    ],
)
def test_an_element_that_cannot_be_there_is_a_phantom(history: list[dict[str, Any]]) -> None:
    assert titles(judged(*history)) == {f.PHANTOM_ELEMENT: 1}


@pytest.mark.parametrize(
    "history",
    [
        pytest.param([add(1, 0, 9), members([], 2, 3), members([1], 4, 5)], id="while it is added"),
        pytest.param([add(1, 0, None), members([], 2, 3), members([1], 4, 5)], id="unknown, later"),
        pytest.param([add(1, 0, None), members([], 2, 3)], id="unknown, never"),
        pytest.param([add(1, 0, 1, outcome="failed"), members([], 2, 3)], id="failed"),
        pytest.param([add(1, 0, 1), members([], 2, 3, level="session")], id="a replica's"),
        pytest.param([add([1, 2], 0, 1), members([[1, 2]], 2, 3)], id="elements that are lists"),
    ],
)
def test_a_set_that_can_be_explained_is_accused_of_nothing(history: list[dict[str, Any]]) -> None:
    assert titles(judged(*history)) == {}


def opened(**accounts: int) -> dict[str, Any]:
    return operation("open", accounts, 0, 1)


def test_a_sum_that_does_not_hold_is_found() -> None:
    found = judged(opened(a=10, b=10), balances(2, 3, a=10, b=9))
    assert titles(found)[f.SUM] == 1
    assert found.held["G1"] is False


def test_the_first_reading_says_the_sum_when_nothing_else_does() -> None:
    assert titles(judged(balances(0, 1, a=1, b=1), balances(2, 3, a=1, b=2)))[f.SUM] == 1


@pytest.mark.parametrize(
    ("history", "found"),
    [
        pytest.param([transfer("a>b 5", 2, 3), balances(4, 5, a=10, b=10)], 2, id="lost"),
        pytest.param([transfer("a>b 5", 2, 3), balances(4, 5, a=0, b=20)], 2, id="twice"),
        pytest.param(
            [transfer("a>b 5", 2, 3, outcome="failed"), balances(4, 5, a=5, b=15)], 2, id="failed"
        ),
        pytest.param([transfer("a>b 5", 2, 3), balances(4, 5, a=5, b=15)], 0, id="done"),
        pytest.param(
            [transfer("a>b 5", 2, 9), balances(4, 5, a=5, b=15)], 0, id="under way, there"
        ),
        pytest.param([transfer("a>b 5", 2, 9), balances(4, 5, a=10, b=10)], 0, id="under way, not"),
        pytest.param(
            [transfer("a>b 5", 2, None), balances(4, 5, a=5, b=15)], 0, id="unknown, there"
        ),
        pytest.param(
            [transfer("a>b 5", 2, None), balances(4, 5, a=10, b=10)], 0, id="unknown, not"
        ),
        pytest.param([balances(2, 3, a=5, b=15), transfer("a>b 5", 4, 5)], 2, id="too soon"),
        pytest.param(
            [
                transfer("a>b 5", 2, None, idempotency="k"),
                transfer("a>b 5", 3, 4, idempotency="k"),
                balances(5, 6, a=0, b=20),
            ],
            2,
            id="a repeat took effect again",
        ),
        pytest.param(
            [
                transfer("a>b 5", 2, None, idempotency="k"),
                transfer("a>b 5", 3, 4, idempotency="k"),
                balances(5, 6, a=5, b=15),
            ],
            0,
            id="a repeat took effect once",
        ),
    ],
)
def test_each_balance_must_follow_from_the_transfers(
    history: list[dict[str, Any]], found: int
) -> None:
    assert titles(judged(opened(a=10, b=10), *history)).get(f.BALANCE, 0) == found
