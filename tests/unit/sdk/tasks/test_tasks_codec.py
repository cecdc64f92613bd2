"""Arguments keep their types on the way through a row; what cannot is refused at once."""

import enum
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millions.errors import TaskError
from millions.sdk.tasks import codec

zones = st.sampled_from([None, UTC, timezone(timedelta(hours=-3, minutes=-30))])
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=["Cs"])),
    st.binary(),
    st.uuids(),
    st.decimals(allow_nan=False),
    st.datetimes(timezones=zones),
    st.dates(),
    st.times(timezones=zones),
    st.timedeltas(),
)
keys = st.one_of(st.text(st.characters(exclude_categories=["Cs"])), st.integers(), st.uuids())
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(keys, inner, max_size=4),
    ),
    max_leaves=12,
)


def kinds(value):
    if isinstance(value, list | tuple):
        return type(value), [kinds(each) for each in value]
    if isinstance(value, dict):
        return dict, [(kinds(key), kinds(each)) for key, each in value.items()]
    return type(value)


@given(st.lists(values, max_size=4), st.dictionaries(st.text("abc", min_size=1), values))
def test_arguments_come_back_equal_and_of_the_same_types(arguments, keywords):
    read = codec.decode(codec.encode(arguments, keywords))
    assert read == (arguments, keywords)
    assert [kinds(each) for each in read[0]] == [kinds(each) for each in arguments]


@given(st.text())
def test_any_text_is_read_or_refused_with_an_error_of_ours(text):
    try:
        positional, keywords = codec.decode(text)
    except TaskError:
        return
    assert type(positional) is list
    assert type(keywords) is dict


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("[1,[]", id="cut short"),
        pytest.param("[1,{}]", id="not a list"),
        pytest.param("[1]", id="nothing in it"),
        pytest.param('[1,[{"$uuid":"x"}]]', id="not a uuid"),
        pytest.param('[1,[{"$decimal":"x"}]]', id="not a decimal"),
        pytest.param('[1,[{"$bytes":"*"}]]', id="not base64"),
        pytest.param('[1,[{"$import":"os"}]]', id="an unknown tag"),
        pytest.param('[1,[{"$timedelta":[1]}]]', id="half an interval"),
        pytest.param('[1,[{"$dict":[[[],1]]}]]', id="a key that cannot be one"),
        pytest.param('["1",[]]', id="a format that is no number"),
    ],
)
def test_damaged_text_is_refused(text):
    with pytest.raises(TaskError) as caught:
        codec.decode(text)
    assert not isinstance(caught.value, codec.NewerFormatError)


def test_a_newer_format_is_told_from_damage():
    with pytest.raises(codec.NewerFormatError):
        codec.decode('[2,["?"]]')


class Colour(enum.StrEnum):
    RED = "red"


class Thing:
    pass


holds_itself: list = []
holds_itself.append(holds_itself)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(Thing(), id="an object"),
        pytest.param(Colour.RED, id="an enum, which would come back as text"),
        pytest.param({1, 2}, id="a set, which has no order"),
        pytest.param(lambda: None, id="a function"),
        pytest.param(holds_itself, id="a list that holds itself"),
        pytest.param("\ud800", id="a lone surrogate"),
        pytest.param("x" * codec.BYTES_MAX, id="more than a row may hold"),
    ],
)
def test_what_cannot_be_written_is_refused_when_it_is_enqueued(value):
    with pytest.raises(TaskError) as caught:
        codec.encode([value], {})
    assert caught.value.try_


def test_plain_arguments_are_readable_in_the_row():
    assert codec.encode(["a", 1], {"b": None}) == '[1,["a",1],{"b":null}]'


def test_special_floats_survive():
    read, _ = codec.decode(codec.encode([float("inf"), float("nan"), -0.0], {}))
    assert str(read) == "[inf, nan, -0.0]"


def test_tags_of_our_own_do_not_collide_with_dictionaries():
    tricky = {"$uuid": "not one", "$": 1}
    assert codec.decode(codec.encode([tricky], {}))[0] == [tricky]


def test_every_supported_type_is_in_the_law():
    example = [
        uuid4(),
        datetime(2026, 1, 1, tzinfo=UTC),
        date(2026, 1, 1),
        time(1, 2),
        timedelta(days=-1, microseconds=5),
        b"\0\xff",
        Decimal("1.10"),
        2**80,
    ]
    read, _ = codec.decode(codec.encode(example, {}))
    assert read == example
    assert isinstance(read[0], UUID)
    assert str(read[6]) == "1.10"
