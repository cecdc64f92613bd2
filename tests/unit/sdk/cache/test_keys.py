import datetime as dt
import enum
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millions.errors import SdkError
from millions.sdk.cache import Cache
from millions.sdk.cache.keys import check_name


class Size(enum.Enum):
    SMALL = "s"


def cached(key, **rules):
    return Cache().through(key=key, **rules)


async def user(user_id, size="m", *, limit=20):
    return (user_id, size, limit)


user_key = cached("user:{user_id}:{size}:{limit}")(user).key


def test_every_way_to_make_the_same_call_has_the_same_key():
    keys = {
        user_key(7),
        user_key(7, "m"),
        user_key(user_id=7),
        user_key(7, size="m"),
        user_key(size="m", user_id=7),
        user_key(7, limit=20),
        user_key(limit=20, size="m", user_id=7),
    }
    assert keys == {"user:7:m:20"}


def test_a_default_can_be_given_by_position():
    async def feed(user_id, page=1, size=2):
        return None

    key = cached("feed:{user_id}:{page}:{size}")(feed).key
    assert key(7) == key(7, 1) == key(7, 1, 2) == key(7, size=2) == "feed:7:1:2"
    assert key(7, 3) == "feed:7:3:2"


@pytest.mark.parametrize(
    "call",
    [user_key, lambda: user_key(1, 2, 3), lambda: user_key(1, user_id=1)],
    ids=["missing", "too many", "twice"],
)
def test_a_call_that_cannot_be_made_is_a_type_error(call):
    with pytest.raises(TypeError):
        call()


def test_an_unknown_name_is_a_type_error():
    with pytest.raises(TypeError):
        user_key(1, colour="red")


ARGUMENT = (
    st.text(max_size=8)
    | st.integers(-9, 9)
    | st.none()
    | st.booleans()
    | st.sampled_from(["a:b", "a", "b", "%3A", ":", "%none", "None", ""])
)


def meaning(value):
    return str(value) if type(value) is int else value


@given(first=st.tuples(ARGUMENT, ARGUMENT), second=st.tuples(ARGUMENT, ARGUMENT))
def test_different_calls_have_different_keys(first, second):
    async def search(word, place):
        return None

    key = cached("search:{word}:{place}")(search).key
    same = tuple(map(meaning, first)) == tuple(map(meaning, second))
    same_types = all(
        isinstance(a, bool) == isinstance(b, bool) for a, b in zip(first, second, strict=True)
    )
    assert (key(*first) == key(*second)) == (same and same_types)


def test_what_keys_are_made_of():
    async def thing(value):
        return None

    key = cached("thing:{value}")(thing).key
    assert key("x") == "thing:x"
    assert key(uuid.UUID(int=7)) == f"thing:{uuid.UUID(int=7)}"
    assert key(dt.date(2026, 1, 2)) == "thing:2026-01-02"
    assert key(Size.SMALL) == "thing:s"
    assert key(None) == "thing:%none"
    assert key(bool(1)) == "thing:%true"


@pytest.mark.parametrize(
    "value", [1.5, object(), [1], b"x"], ids=["a float", "an object", "a list", "bytes"]
)
def test_what_has_no_certain_text_is_refused(value):
    async def thing(value):
        return None

    with pytest.raises(SdkError):
        cached("thing:{value}")(thing).key(value)


def test_fields_may_be_attributes():
    async def thing(when):
        return None

    assert cached("y:{when.year}")(thing).key(dt.date(2026, 1, 2)) == "y:2026"


def test_a_key_may_be_a_function():
    async def thing(value):
        return None

    assert cached(lambda value: f"t{value}")(thing).key([1]) == "t[1]"


@pytest.mark.parametrize(
    "template",
    ["user", "user:{id}", "user:{user_id}", "u:{user_id}{size}:{limit}", "u:{user_id:>3}", "u:{}"],
)
def test_a_template_that_could_mix_up_calls_is_refused(template):
    with pytest.raises(SdkError):
        cached(template)(user)


def test_a_parameter_that_the_key_leaves_out_must_be_named():
    with pytest.raises(SdkError, match="limit"):
        cached("user:{user_id}:{size}")(user)
    assert cached("user:{user_id}:{size}", ignore=["limit"])(user).key(1, limit=5) == "user:1:m"


def test_two_functions_do_not_share_keys():
    async def first(a):
        return None

    async def second(b):
        return None

    cache = Cache()
    cache.through(key="thing:{a}")(first)
    cache.through(key="thing:{a}")(first)
    with pytest.raises(SdkError, match="first"):
        cache.through(key="thing:{b}")(second)


@pytest.mark.parametrize("name", ["", "x" * 513, "a\0b", "\udc00"], ids=ascii)
def test_a_name_that_cannot_travel_is_refused(name):
    with pytest.raises(SdkError):
        check_name(name)


@pytest.mark.parametrize("rules", [{"ttl_s": 0}, {"ttl_s": -1}, {"stale_s": -1}], ids=str)
def test_a_time_that_is_none_is_refused(rules):
    with pytest.raises(SdkError):
        cached("user:{user_id}:{size}:{limit}", **rules)
