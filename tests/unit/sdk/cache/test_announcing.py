import pytest
from hypothesis import given
from hypothesis import strategies as st

from millions.sdk.cache.announcing import PAYLOAD_BYTES_MAX, PAYLOADS_MAX, parse, payloads

NAMES = st.sets(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=1)


@given(names=NAMES)
def test_what_is_announced_is_heard(names):
    heard = [parse(text) for text in payloads("me", names)]
    assert {each.sender for each in heard} == {"me"}
    assert frozenset().union(*(each.names for each in heard)) == names


def test_many_names_travel_in_notifications_of_bounded_size():
    names = {f"user:{n:0500}" for n in range(200)}
    texts = payloads("me", names)
    assert 1 < len(texts) <= PAYLOADS_MAX
    assert all(len(text.encode()) <= PAYLOAD_BYTES_MAX for text in texts)
    assert frozenset().union(*(parse(text).names for text in texts)) == names


def test_the_longest_names_fit():
    texts = payloads("me", {"\x01" * 511 + str(n) for n in range(9)})
    assert all(len(text.encode()) <= PAYLOAD_BYTES_MAX for text in texts)


def test_too_many_names_say_everything():
    texts = payloads("me", {f"user:{n:0500}" for n in range(2000)})
    assert [parse(text).names for text in texts] == [None]


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"names": 3}', "null"])
def test_what_cannot_be_read_says_everything(text):
    assert parse(text).names is None
