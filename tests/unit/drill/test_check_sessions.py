"""The checker of sessions must find a user who reads backwards, and nobody else."""

from __future__ import annotations

from typing import Any

from histories import judged, read, titles, write

from millions.drill.checker import finding as f


def session(value: Any, at: float, done: float, **more: Any) -> dict[str, Any]:
    return read(value, at, done, level="session", **more)


def test_a_user_who_does_not_read_what_the_user_wrote_is_found() -> None:
    found = judged(write(1, 0, 1, user="a"), write(2, 2, 3, user="b"), session(1, 4, 5, user="b"))
    assert titles(found) == {f.OWN_WRITE: 1}
    assert found.held["G4"] is False


def test_a_user_who_reads_nothing_after_a_write_is_found() -> None:
    assert titles(judged(write(1, 0, 1), session(None, 2, 3))) == {f.OWN_WRITE: 1}


def test_a_user_who_reads_something_older_than_before_is_found() -> None:
    found = judged(
        write(1, 0, 1, user="a"),
        write(2, 2, 3, user="a"),
        session(2, 4, 5, user="b"),
        session(1, 6, 7, user="b"),
    )
    assert titles(found) == {f.WENT_BACK: 1}


def test_another_user_may_lag_behind() -> None:
    found = judged(
        write(1, 0, 1, user="a"),
        write(2, 2, 3, user="a"),
        session(2, 4, 5, user="b"),
        session(1, 6, 7, user="c"),
    )
    assert titles(found) == {}
    assert found.held["G4"] is True


def test_versions_order_what_time_does_not() -> None:
    history = [
        write(1, 0, 9, user="a", version=1),
        write(2, 0, 9, user="b", version=2),
        session(2, 10, 11, user="c", version=2),
        session(1, 12, 13, user="c", version=1),
    ]
    assert titles(judged(*history)) == {f.WENT_BACK: 1}
    for each in history:
        del each["version"]
    assert titles(judged(*history)) == {}


def test_a_write_by_somebody_else_in_between_is_not_held_against_the_reader() -> None:
    found = judged(write(1, 0, 1, user="a"), write(2, 2, 3, user="b"), session(2, 4, 5, user="a"))
    assert titles(found) == {}


def test_an_unknown_write_of_ones_own_need_not_be_read() -> None:
    assert titles(judged(write(1, 0, 1), write(2, 2, None), session(1, 4, 5))) == {}


def test_a_write_of_unknown_outcome_may_be_seen_after_newer_ones() -> None:
    found = judged(
        write(1, 0, None, user="a"),
        write(2, 2, 3, user="b"),
        session(2, 4, 5, user="c"),
        session(1, 6, 7, user="c"),
    )
    assert titles(found) == {}


def test_reads_of_one_user_that_overlap_are_not_compared() -> None:
    found = judged(
        write(1, 0, 1, user="a"),
        write(2, 2, 3, user="a"),
        session(2, 4, 8, user="b"),
        session(1, 5, 9, user="b"),
    )
    assert titles(found) == {}
