"""Positions only grow, and their text is read back or refused."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millions.errors import SignatureError
from millions.sdk.position import POSITION_MAX, Seen, parse, position_of

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
        "s0=zzzzzzzzzzzzz",
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
