import dataclasses
import datetime as dt
import enum
import uuid
from decimal import Decimal
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from millions.errors import SdkError
from millions.sdk.cache.values import freeze


@dataclasses.dataclass(frozen=True, slots=True)
class Photo:
    name: str
    tags: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Album:
    photos: list[Photo]


@dataclasses.dataclass
class Draft:
    text: str


class Point(NamedTuple):
    x: int
    y: list[int]


class Colour(enum.Enum):
    RED = "red"


class Account(BaseModel):
    name: str


SHARED = [
    None,
    True,
    7,
    1.5,
    "text",
    b"bytes",
    uuid.UUID(int=7),
    Decimal("1.10"),
    dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
    (1, ("two", frozenset({3}))),
    Photo("a", ("b",)),
    (Photo("a"), Photo("b")),
    Colour.RED,
]
COPIED = [
    {"a": 1},
    [1, 2],
    {1, 2},
    bytearray(b"x"),
    {"a": {"b": [1]}},
    {"a": (1, Photo("b"))},
    [{"a": 1}, {"b": Photo("c")}],
    [{"a": 1}, [2]],
    [{"a": [1]}],
    [{}, ()],
    {"a": bytearray(b"x"), "b": [1]},
    [[Colour.RED], {"a": [dt.date(2026, 1, 1)]}],
    [Photo("a")],
    ([],),
    Album([Photo("a")]),
    Draft("x"),
    Point(1, [2]),
    Account(name="x"),
    {uuid.UUID(int=1): [Decimal(1)]},
]


@pytest.mark.parametrize("value", SHARED, ids=repr)
def test_what_cannot_be_changed_is_shared(value):
    assert freeze(value).value() is value


@pytest.mark.parametrize("value", COPIED, ids=repr)
def test_what_can_be_changed_is_each_callers_own(value):
    frozen = freeze(value)
    first, second = frozen.value(), frozen.value()
    assert first == second == value
    assert type(first) is type(value)
    assert first is not second
    assert first is not value


def test_a_change_of_what_was_given_does_not_reach_the_cache():
    value = {"a": [1], "b": 2}
    frozen = freeze(value)
    value["a"].append(2)
    frozen.value()["a"].append(3)
    assert frozen.value() == {"a": [1], "b": 2}


def test_a_change_in_a_flat_dict_does_not_reach_the_cache():
    value = {"a": 1}
    frozen = freeze(value)
    value["a"] = 2
    frozen.value()["a"] = 3
    assert frozen.value() == {"a": 1}


def cyclic():
    value = []
    value.append(value)
    return value


class Local:
    pass


@pytest.mark.parametrize(
    "value",
    [object(), Local(), lambda: None, iter([1]), {"a": [object()]}, cyclic(), Local, open],
    ids=["object", "class", "lambda", "iterator", "nested", "cyclic", "type", "builtin"],
)
def test_what_no_cache_server_could_hold_is_refused(value):
    with pytest.raises(SdkError, match="cannot cache"):
        freeze(value)


def test_a_dataclass_made_inside_a_function_is_refused_when_it_must_be_copied():
    @dataclasses.dataclass
    class Inner:
        text: str

    with pytest.raises(SdkError):
        freeze(Inner("x"))


def test_the_size_grows_with_the_value():
    assert freeze("x" * 10_000).size_bytes > 10_000
    assert freeze(["x" * 10_000]).size_bytes > 10_000
    assert freeze({"a": ["y" * 10_000]}).size_bytes > 10_000
    assert freeze((("z" * 10_000,),)).size_bytes > 10_000


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.binary() | st.uuids(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=20,
)


@given(value=PLAIN)
def test_every_plain_value_comes_back_equal(value):
    frozen = freeze(value)
    assert frozen.value() == value
    assert frozen.size_bytes > 0


def test_a_value_whose_class_no_other_process_finds_is_refused_before_there_are_servers() -> None:
    @dataclasses.dataclass(frozen=True)
    class Local:
        number: int

    with pytest.raises(SdkError, match="its class stands in a function"):
        freeze(Local(1))
