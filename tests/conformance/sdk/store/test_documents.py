import asyncio

import pytest

from millions.errors import ConflictError, SdkError, UnavailableError
from millions.sdk.store import ABSENT, Store
from millions.testing import eventually

JSON_VALUES = [
    None,
    True,
    0,
    -(2**63),
    2**64 - 1,
    3.25,
    "",
    "null",
    "text with \0, \u2028 and \U0001f600",
    [],
    {},
    [1, "two", None, {"three": [3.0]}],
    {"": {"nested": {"deeply": [[[]]]}}},
]


@pytest.mark.parametrize("value", JSON_VALUES, ids=lambda value: ascii(value)[:30])
async def test_what_is_put_is_what_is_got(store, value):
    version = await store.put("key", value)
    document = await store.get("key")
    assert document.value == value
    assert type(document.value) is type(value)
    assert document.version == version


async def test_a_key_that_was_never_put_has_no_document(store):
    assert await store.get("nothing") is None
    assert await store.many(["nothing", "either"]) == {}


async def test_every_put_gives_a_new_and_higher_version(store):
    versions = [await store.put("key", n) for n in range(5)]
    assert versions == sorted(set(versions))
    assert (await store.get("key")).value == 4


async def test_many_answers_for_the_keys_that_exist(store):
    for n in range(5):
        await store.put(f"key:{n}", n)
    found = await store.many(["key:1", "key:3", "key:3", "missing"])
    assert {key: document.value for key, document in found.items()} == {"key:1": 1, "key:3": 3}


async def test_a_caller_gets_a_value_of_its_own(store):
    await store.put("key", {"list": [1]})
    (await store.get("key")).value["list"].append(2)
    assert (await store.get("key")).value == {"list": [1]}


async def test_a_put_with_the_current_version_replaces(store):
    version = await store.put("key", "old")
    await store.put("key", "new", if_version=version)
    assert (await store.get("key")).value == "new"


async def test_a_put_with_another_version_changes_nothing(store):
    first = await store.put("key", "first")
    await store.put("key", "second")
    with pytest.raises(ConflictError, match="its version is"):
        await store.put("key", "third", if_version=first)
    assert (await store.get("key")).value == "second"


async def test_version_zero_means_that_there_is_none_yet(store):
    await store.put("key", "first", if_version=ABSENT)
    with pytest.raises(ConflictError):
        await store.put("key", "second", if_version=ABSENT)
    assert (await store.get("key")).value == "first"


async def test_a_put_with_a_version_does_not_bring_back_what_was_deleted(store):
    version = await store.put("key", "old")
    await store.delete("key")
    with pytest.raises(ConflictError, match="there is none"):
        await store.put("key", "new", if_version=version)
    assert await store.get("key") is None


async def test_a_version_is_never_given_out_twice_even_after_a_delete(store):
    first = await store.put("key", "first")
    await store.delete("key")
    await store.put("key", "again")
    with pytest.raises(ConflictError):
        await store.put("key", "late", if_version=first)


async def test_of_many_concurrent_compare_and_sets_each_version_is_replaced_once(store):
    await store.put("key", 0)

    async def count_up():
        for _ in range(200):
            document = await store.get("key")
            try:
                return await store.put("key", document.value + 1, if_version=document.version)
            except ConflictError:
                continue
        raise AssertionError("never got through")

    await asyncio.gather(*(count_up() for _ in range(20)))
    assert (await store.get("key")).value == 20


async def test_of_many_concurrent_creations_one_succeeds(store):
    results = await asyncio.gather(
        *(store.put("key", n, if_version=ABSENT) for n in range(20)), return_exceptions=True
    )
    won = [n for n, result in enumerate(results) if isinstance(result, int)]
    assert len(won) == 1
    assert all(isinstance(r, ConflictError) for r in results if not isinstance(r, int))
    assert (await store.get("key")).value == won[0]


async def test_delete_says_whether_there_was_something(store):
    await store.put("key", 1)
    assert await store.delete("key") is True
    assert await store.delete("key") is False
    assert await store.get("key") is None


async def test_delete_with_a_version_deletes_only_that_one(store):
    first = await store.put("key", 1)
    second = await store.put("key", 2)
    with pytest.raises(ConflictError):
        await store.delete("key", if_version=first)
    assert await store.delete("key", if_version=second) is True
    assert await store.delete("key", if_version=second) is False


async def test_a_document_is_invisible_as_soon_as_its_time_is_over(store):
    version = await store.put("key", "short", ttl_s=0.15)

    async def gone():
        return await store.get("key") is None and await store.many(["key"]) == {}

    await eventually(gone, within_s=3)
    with pytest.raises(ConflictError):
        await store.put("key", "renewed", if_version=version)
    assert await store.delete("key") is False
    await store.put("key", "anew", if_version=ABSENT)
    assert (await store.get("key")).value == "anew"


async def test_a_put_without_a_ttl_lifts_the_former_one(store):
    await store.put("key", 1, ttl_s=0.1)
    await store.put("key", 2)
    await store.put("witness", 1, ttl_s=0.1)

    async def witness_gone():
        return await store.get("witness") is None

    await eventually(witness_gone, within_s=3)
    assert (await store.get("key")).value == 2


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), {"a": [None, float("nan")]}, {1: "x"}, {1, 2}, object(), 2**64],
    ids=["nan", "inf", "nested nan", "key", "set", "object", "too long an integer"],
)
async def test_what_json_cannot_hold_is_refused_and_changes_nothing(store, value):
    await store.put("key", "kept")
    with pytest.raises(SdkError):
        await store.put("key", value)
    assert (await store.get("key")).value == "kept"


async def test_a_document_above_its_bound_is_refused(store):
    with pytest.raises(SdkError, match="files"):
        await store.put("key", "x" * (1 << 20))


@pytest.mark.parametrize("key", ["", "x" * 513, "a\0b", "\ud800"], ids=ascii)
async def test_a_key_that_cannot_be_one_is_refused(store, key):
    for call in (store.get(key), store.put(key, 1), store.increment(key), store.delete(key)):
        with pytest.raises(SdkError):
            await call


@pytest.mark.parametrize("ttl_s", [0, -1, float("inf"), float("nan")])
async def test_a_time_to_live_that_is_none_is_refused(store, ttl_s):
    with pytest.raises(SdkError):
        await store.put("key", 1, ttl_s=ttl_s)


async def test_keys_that_look_alike_are_different_keys(store):
    keys = ["Key", "key", "key ", "ключ", "%key%", "key:1", "key/1", "k" * 512]
    for key in keys:
        await store.put(key, key)
    found = await store.many(keys)
    assert {key: document.value for key, document in found.items()} == {key: key for key in keys}


async def test_a_store_that_is_not_open_says_so(database):
    with pytest.raises(UnavailableError, match="not open"):
        await Store(database).get("key")
