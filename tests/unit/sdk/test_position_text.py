"""Positions only grow, and their text is read back or refused."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millions.errors import SignatureError
from millions.sdk.position import POSITION_MAX, Seen, covers, parse, position_of

POSITIONS = st.dictionaries(
    st.text("abcXYZ019_-", min_size=1, max_size=20),
    st.integers(min_value=1, max_value=POSITION_MAX),
    max_size=5,
)


@given(POSITIONS)
def test_what_is_written_is_read_back(positions):
    assert parse(Seen(positions).text()).positions == positions


@given(POSITIONS, POSITIONS)
def test_merging_keeps_the_furthest_of_each_shard(one, other):
    seen = Seen(dict(one))
    seen.merge(Seen(other))
    assert seen.positions == {
        shard: max(one.get(shard, 0), other.get(shard, 0)) for shard in {*one, *other}
    }


def test_a_position_does_not_go_back():
    seen = Seen()
    seen.advance("s0", 9)
    seen.advance("s0", 3)
    assert seen.positions == {"s0": 9}


def test_a_doubt_is_carried_until_the_primary_ends_it():
    seen = Seen()
    seen.advance("s0", 9)
    seen.doubt("s0")
    read = parse(seen.text())
    assert read.unsure == {"s0"}
    read.settle("s0", 12, doubts=read.doubts)
    assert (read.unsure, read.positions) == (set(), {"s0": 12})


def test_a_doubt_outlives_an_answer_that_was_asked_for_before_it():
    seen = Seen()
    asked = seen.doubts
    seen.doubt("s0")
    seen.settle("s0", 12, doubts=asked)
    assert seen.unsure == {"s0"}


def test_merging_keeps_doubts():
    seen = Seen()
    seen.merge(Seen(unsure={"s1"}))
    assert seen.unsure == {"s1"}


@pytest.mark.parametrize(
    ("reached", "wanted", "shows"),
    [
        pytest.param((1, 10), (1, 10), True, id="as far"),
        pytest.param((1, 9), (1, 10), False, id="behind"),
        pytest.param((1, 99), (2, 10), False, id="on a timeline that another one replaced"),
        pytest.param((2, 9), (1, 10), False, id="not yet where the later timeline began"),
        pytest.param((2, 10), (1, 10), True, id="on a later timeline, as far"),
    ],
)
def test_a_server_shows_what_lies_before_its_place_on_the_same_history(reached, wanted, shows):
    places = [position_of(f"0/{lsn:X}", timeline) for timeline, lsn in (reached, wanted)]
    assert covers(*places) is shows


@pytest.mark.parametrize(
    "text",
    [
        "s0",
        "s0=",
        "=1",
        "s0=1.",
        "s0=-1",
        "s0=1;",
        "s 0=1",
        "s0=zzzzzzzzzzzzzzzzzzz",
        "s0=!1",
        "s0=!!",
        "s0=1." * 70 + "a=1",
    ],
)
def test_a_foreign_text_is_refused(text):
    with pytest.raises(SignatureError, match="position"):
        parse(text)


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text):
    with suppress(SignatureError):
        assert len(parse(text).positions) <= 64


def test_postgresqls_form_is_understood():
    assert position_of("16/B374D848") == 0x16B374D848
