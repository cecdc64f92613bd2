"""Requests have one id, and nothing from outside can forge it."""

import pytest

from millions.sdk import requests
from millions.sdk.requests import Identities


def test_no_two_fresh_ids_are_equal() -> None:
    identities = Identities()
    made = [identities.fresh() for _ in range(5000)]
    assert len(set(made)) == 5000
    assert {len(each) for each in made} == {32}


@pytest.mark.parametrize(
    "given",
    [
        b"",
        b"short",
        b"x" * 65,
        b"a b c d e f g",
        b'id","x":"y',
        b"id\nlevel",
        "ähnlich-lang".encode(),
    ],
)
def test_an_id_that_is_no_plain_word_is_replaced(given: bytes) -> None:
    assert Identities().of([(requests.HEADER, given)]).encode() != given


def test_an_id_of_a_tier_in_front_is_kept() -> None:
    assert Identities().of([(b"host", b"x"), (requests.HEADER, b"edge-1.balancer_7")]) == (
        "edge-1.balancer_7"
    )


def test_outside_of_a_request_there_is_no_id() -> None:
    assert requests.request_id() is None


@pytest.mark.parametrize(
    ("header", "value"),
    [
        (b"a=1; b=2", b"1"),
        (b"b=2;a=1", b"1"),
        (b"aa=3; a=1", b"1"),
        (b"xa=3", None),
        (b"a=", b""),
        (b"", None),
    ],
    ids=repr,
)
def test_a_cookie_is_found_by_its_whole_name(header: bytes, value: bytes | None) -> None:
    assert requests.cookies({"headers": [(b"cookie", header)]}, b"a").get(b"a") == value
