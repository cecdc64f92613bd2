"""Ids sort by time, never repeat within a process, and are what RFC 9562 says they are."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from uuid import RFC_4122, UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millions.sdk.identifiers import TAIL_MASK, Order, made_at, uuid7

MILLISECONDS = st.integers(min_value=-5_000, max_value=5_000)
CHANCE = st.integers(min_value=0, max_value=2**80 - 1)


def test_an_id_is_of_version_7():
    made = uuid7()
    assert (made.version, made.variant) == (7, RFC_4122)


@given(st.lists(st.tuples(MILLISECONDS, CHANCE), min_size=1, max_size=300))
def test_ids_rise_whatever_the_clock_does(steps):
    """The clock may stand still or go back."""
    order, now_ms, made = Order(), 1_800_000_000_000, []
    for step, chance in steps:
        now_ms += step
        made.append(order.next(now_ms, chance))
    assert made == sorted(set(made))
    assert [each.bytes for each in made] == sorted(each.bytes for each in made)
    assert [str(each) for each in made] == sorted(str(each) for each in made)
    assert {(each.version, each.variant) for each in made} == {(7, RFC_4122)}


@given(st.integers(0, 2**48 - 1), CHANCE)
def test_the_first_id_of_a_millisecond_holds_its_time_and_chance(now_ms, chance):
    made = Order().next(now_ms, chance)
    assert made.int >> 80 == now_ms
    assert made.int & TAIL_MASK == chance & TAIL_MASK


def test_ids_of_one_millisecond_rise_beyond_its_counter():
    order = Order()
    made = [order.next(1_800_000_000_000, 0) for _ in range(10_000)]
    assert made == sorted(set(made))


def test_threads_never_make_the_same_id():
    made: list[UUID] = []
    threads = [
        threading.Thread(target=lambda: made.extend(uuid7() for _ in range(2_000)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 8_000


def test_an_id_knows_when_it_was_made():
    ahead = timedelta(minutes=1)  # other tests may have pushed the time part ahead
    assert datetime.now(UTC) - ahead < made_at(uuid7()) < datetime.now(UTC) + ahead


def test_the_time_of_another_kind_of_id_is_refused():
    with pytest.raises(ValueError, match="version 4"):
        made_at(uuid4())
