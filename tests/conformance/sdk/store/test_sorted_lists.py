import asyncio
import random

import pytest

from millions.errors import SdkError
from millions.sdk.store import Scored
from millions.testing import eventually


def members(page):
    return [scored.member for scored in page]


async def test_the_highest_score_comes_first(store):
    feed = store.sorted("feed")
    await feed.add_many({"low": 1, "high": 3.5, "middle": 2})
    assert members(await feed.range()) == ["high", "middle", "low"]
    assert (await feed.range(1))[0] == Scored(member="high", score=3.5)


async def test_equal_scores_have_one_order(store):
    feed = store.sorted("feed")
    await feed.add_many([("b", 1), ("B", 1), ("é", 1), ("a", 1)])
    assert members(await feed.range()) == sorted(["b", "B", "é", "a"], reverse=True)


async def test_a_member_is_in_a_list_once_and_moves(store):
    feed = store.sorted("feed")
    await feed.add("a", 1)
    await feed.add("b", 2)
    await feed.add("a", 3)
    assert members(await feed.range()) == ["a", "b"]
    assert await feed.size() == 2
    assert await feed.score("a") == 3
    assert await feed.score("c") is None


async def test_pages_give_every_member_once_even_with_equal_scores(store):
    feed = store.sorted("feed")
    chance = random.Random(7)
    items = {f"member:{n}": chance.randrange(5) for n in range(53)}
    await feed.add_many(items)
    pages, cursor = [], None
    for _ in range(20):
        page = await feed.range(7, before=cursor)
        if not page:
            break
        pages += page
        cursor = page[-1]
    expected = sorted(((score, member) for member, score in items.items()), reverse=True)
    assert [(item.score, item.member) for item in pages] == expected


async def test_after_gives_what_is_new(store):
    feed = store.sorted("feed")
    await feed.add_many({"a": 1, "b": 2, "c": 2, "d": 3})
    assert members(await feed.range(after=Scored(member="b", score=2))) == ["d", "c"]
    assert members(await feed.range(after=2)) == ["d"]
    assert members(await feed.range(before=2)) == ["a"]
    assert members(await feed.range(before=3, after=1)) == ["c", "b"]


async def test_remove_says_how_many_were_there(store):
    feed = store.sorted("feed")
    await feed.add_many({"a": 1, "b": 2, "c": 3})
    assert await feed.remove("a", "c", "x") == 2
    assert members(await feed.range()) == ["b"]


async def test_trim_keeps_the_highest(store):
    feed = store.sorted("feed")
    await feed.add_many({f"{n:05}": n for n in range(2500)})
    assert await feed.trim(10) == 2490
    assert members(await feed.range()) == [f"{n:05}" for n in range(2499, 2489, -1)]
    assert await feed.trim(10) == 0
    assert await feed.trim(0) == 10


async def test_adding_to_thousands_of_lists_reaches_each_of_them(store):
    keys = [f"feed:{n}" for n in range(4321)]
    await store.add_to_many([*keys, keys[0]], "photo", 5)
    await store.add_to_many(keys[:10], "photo", 7)
    assert await store.sorted(keys[0]).range() == [Scored(member="photo", score=7)]
    assert await store.sorted(keys[-1]).range() == [Scored(member="photo", score=5)]
    await store.remove_from_many(keys, "photo")
    assert await store.sorted(keys[0]).size() == await store.sorted(keys[-1]).size() == 0


async def test_lists_that_keep_some_stay_bounded_and_never_lose_the_highest(store):
    keys = [f"feed:{n}" for n in range(20)]
    for n in range(300):
        await store.add_to_many(keys, f"photo:{n:03}", n, keep=20)
    for key in keys:
        newest = members(await store.sorted(key).range(20))
        assert newest == [f"photo:{n:03}" for n in range(299, 279, -1)]
    sizes = [await store.sorted(key).size() for key in keys]
    assert max(sizes) < 220  # 200 more without a trim: a chance of 1 in 400,000 a list


async def test_many_who_add_to_the_same_lists_do_not_block_each_other_for_ever(store):
    keys = [f"feed:{n}" for n in range(50)]

    async def post(author):
        for n in range(10):
            chosen = random.sample(keys, 40)
            await store.add_to_many(chosen, f"{author}:{n % 3}", n, keep=5)

    async with asyncio.timeout(60):
        await asyncio.gather(*(post(author) for author in range(8)))
    assert all([await store.sorted(key).size() >= 5 for key in keys])


async def test_presence_is_a_list_by_time(store):
    online = store.sorted("online")
    await online.add("ann", 100)
    await online.add("bob", 160)
    assert members(await online.range(after=130)) == ["bob"]


@pytest.mark.parametrize("score", [float("nan"), float("inf")])
async def test_a_score_that_cannot_be_compared_is_refused(store, score):
    with pytest.raises(SdkError):
        await store.sorted("feed").add("a", score)
    with pytest.raises(SdkError):
        await store.add_to_many(["feed"], "a", score)


@pytest.mark.parametrize("limit", [0, -1, 1001])
async def test_a_page_has_a_bound(store, limit):
    with pytest.raises(SdkError):
        await store.sorted("feed").range(limit)


async def test_an_empty_list_needs_no_making(store):
    feed = store.sorted("nothing")
    assert await feed.range() == []
    assert await feed.size() == 0
    assert await feed.trim(5) == 0
    assert await feed.remove("a") == 0
    await feed.add_many([])
    await store.add_to_many([], "a", 1, keep=5)


async def test_what_is_added_is_seen_at_once(store):
    feed = store.sorted("feed")

    async def seen():
        await feed.add("a", 1)
        return members(await feed.range()) == ["a"]

    assert await eventually(seen, within_s=1)
