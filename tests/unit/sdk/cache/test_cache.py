"""The cache of one process alone, with a clock that the test moves."""

import asyncio
import contextlib
import gc

import pytest

from millions.errors import SdkError, UnavailableError
from millions.sdk.cache import Cache, flights


class Clock:
    now_s = 100.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def cache(clock):
    return Cache(clock=clock, chance=lambda: 0.0)


class Source:
    """What is loaded: counts its calls, and answers when it is told to."""

    def __init__(self, value="v"):
        self.value = value
        self.calls = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self):
        self.calls += 1
        await self.gate.wait()
        if isinstance(self.value, Exception):
            raise self.value
        return self.value


async def turns(count=5):
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_second_call_is_answered_from_memory(cache):
    source = Source({"name": "ann"})

    @cache.through(key="user:{user_id}")
    async def user(user_id):
        return await source()

    assert await user(7) == {"name": "ann"}
    assert await user(user_id=7) == {"name": "ann"}
    assert source.calls == 1
    assert await user(8) == {"name": "ann"}
    assert source.calls == 2
    assert cache.statistics().hits == 1


async def test_a_method_can_be_cached(cache):
    class Shop:
        @cache.through(key="price:{item}", ignore=["self"])
        async def price(self, item):
            return len(item)

    assert await Shop().price("book") == 4
    assert await cache.get("price:book") == 4


async def test_an_answer_is_fresh_until_its_time_is_over(cache, clock):
    source = Source()
    await cache.load("k", source, ttl_s=10)
    clock.now_s += 9.99
    await cache.load("k", source, ttl_s=10)
    assert source.calls == 1
    clock.now_s += 0.01
    await cache.load("k", source, ttl_s=10)
    assert source.calls == 2


async def test_times_to_live_are_spread_and_never_longer_than_told(clock):
    lives = []
    for chance in (0.0, 0.5, 0.999):
        cache = Cache(clock=clock, chance=lambda chance=chance: chance)
        await cache.put("k", 1, ttl_s=100)
        lives.append(cache._memory.entries["k"].fresh_until_s - clock.now_s)
    assert lives == pytest.approx([100, 95, 90.01])


async def test_a_thousand_who_miss_at_once_make_one_call(cache):
    source = Source(["x"])
    source.gate.clear()
    asking = [asyncio.create_task(cache.load("k", source)) for _ in range(1000)]
    await turns()
    source.gate.set()
    answers = await asyncio.gather(*asking)
    assert source.calls == 1
    assert answers == [["x"]] * 1000
    assert len({id(answer) for answer in answers}) == 1000


async def test_all_who_wait_get_the_error_and_it_is_not_kept(cache):
    source = Source(ValueError("down"))
    answers = await asyncio.gather(
        *(cache.load("k", source) for _ in range(5)), return_exceptions=True
    )
    assert source.calls == 1
    assert [str(answer) for answer in answers] == ["down"] * 5
    source.value = "up"
    assert await cache.load("k", source) == "up"


async def test_one_who_is_cancelled_takes_nobody_along(cache):
    source = Source()
    source.gate.clear()
    first = asyncio.create_task(cache.load("k", source))
    second = asyncio.create_task(cache.load("k", source))
    await turns()
    first.cancel()
    await turns()
    source.gate.set()
    assert await second == "v"
    assert source.calls == 1
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_a_loader_that_nobody_waits_for_is_cancelled(cache):
    source = Source()
    source.gate.clear()
    asking = [asyncio.create_task(cache.load("k", source)) for _ in range(3)]
    await turns()
    for task in asking:
        task.cancel()
    await turns()
    assert not cache._flights._running
    source.gate.set()
    assert await cache.load("k", source) == "v"
    assert source.calls == 2


async def test_a_loader_that_takes_too_long_is_stopped(cache):
    cache._flights.limit_s = 0.02
    source = Source()
    source.gate.clear()
    with pytest.raises(UnavailableError, match="longer than"):
        await cache.load("k", source)
    source.gate.set()
    assert await cache.load("k", source) == "v"


async def test_a_loaders_own_timeout_is_its_own(cache):
    source = Source(TimeoutError("of the loader"))
    with pytest.raises(TimeoutError, match="of the loader"):
        await cache.load("k", source)


async def test_a_loader_that_asks_for_itself_is_told_so(cache):
    async def loader():
        return await cache.load("k", loader)

    with pytest.raises(SdkError, match="wait for itself"):
        await cache.load("k", loader)


async def test_a_loader_may_ask_for_other_keys(cache):
    async def outer():
        return await cache.load("inner", Source(1)) + 1

    assert await cache.load("outer", outer) == 2


async def test_absence_is_believed_for_its_own_time(cache, clock):
    source = Source(None)
    await cache.load("k", source, ttl_s=60, negative_ttl_s=3)
    await cache.load("k", source, ttl_s=60, negative_ttl_s=3)
    assert source.calls == 1
    clock.now_s += 3
    source.value = "now there"
    assert await cache.load("k", source, ttl_s=60, negative_ttl_s=3) == "now there"


async def test_absence_is_not_kept_when_its_time_is_zero(cache):
    source = Source(None)
    for _ in range(3):
        assert await cache.load("k", source, negative_ttl_s=0) is None
    assert source.calls == 3


async def test_a_stale_answer_serves_while_one_refresh_runs(cache, clock):
    source = Source("old")
    await cache.load("k", source, ttl_s=10, stale_s=30)
    clock.now_s += 11
    source.value = "new"
    source.gate.clear()
    answers = [await cache.load("k", source, ttl_s=10, stale_s=30) for _ in range(20)]
    assert answers == ["old"] * 20
    await turns()
    assert source.calls == 2
    source.gate.set()
    await turns()
    assert await cache.load("k", source, ttl_s=10, stale_s=30) == "new"
    assert source.calls == 2
    assert cache.statistics().stale_hits == 20


async def test_beyond_its_stale_time_an_answer_is_not_served(cache, clock):
    source = Source("old")
    await cache.load("k", source, ttl_s=10, stale_s=30)
    clock.now_s += 40
    source.value = "new"
    assert await cache.load("k", source, ttl_s=10, stale_s=30) == "new"


async def test_a_refresh_that_fails_is_counted_and_tried_again_later(cache, clock):
    source = Source("old")
    await cache.load("k", source, ttl_s=10, stale_s=30)
    clock.now_s += 11
    source.value = ValueError("down")
    assert await cache.load("k", source, ttl_s=10, stale_s=30) == "old"
    await turns()
    assert await cache.load("k", source, ttl_s=10, stale_s=30) == "old"
    await turns()
    assert source.calls == 2
    assert cache.statistics().refresh_failures == 1
    clock.now_s += 1
    source.value = "new"
    assert await cache.load("k", source, ttl_s=10, stale_s=30) == "old"
    await turns()
    assert await cache.load("k", source, ttl_s=10, stale_s=30) == "new"
    gc.collect()  # an exception that nobody fetched would warn here, and a warning is an error


async def test_what_was_invalidated_is_not_served_stale(cache, clock):
    source = Source("old")
    await cache.load("k", source, ttl_s=10, stale_s=30)
    clock.now_s += 11
    await cache.invalidate("k")
    source.value = "new"
    assert await cache.load("k", source, ttl_s=10, stale_s=30) == "new"


async def test_a_tag_invalidates_all_that_carry_it(cache):
    @cache.through(key="page:{page}:{owner_id}", tags=["owner:{owner_id}", "pages"])
    async def page(page, owner_id=1):
        return page

    for number in (1, 2):
        for owner_id in (1, 2):
            await page(number, owner_id=owner_id)
    await cache.invalidate("owner:1")
    assert sorted(cache._memory.entries) == ["page:1:2", "page:2:2"]
    await cache.invalidate("pages")
    assert not cache._memory.entries


async def test_a_fill_that_began_before_an_invalidation_is_not_kept(cache):
    source = Source("old")
    source.gate.clear()
    asking = asyncio.create_task(cache.load("k", source))
    await turns()
    await cache.invalidate("k")
    fresh = Source("new")
    assert await cache.load("k", fresh) == "new"
    source.gate.set()
    assert await asking == "old"
    assert await cache.load("k", fresh) == "new"
    assert fresh.calls == 1


async def test_what_a_caller_does_to_an_answer_does_not_reach_the_next_one(cache):
    source = Source({"names": ["ann"]})
    first = await cache.load("k", source)
    first["names"].append("eve")
    source.value["names"].append("mallory")
    assert await cache.load("k", source) == {"names": ["ann"]}


async def test_what_cannot_be_cached_is_refused_at_the_first_call(cache):
    with pytest.raises(SdkError, match="cannot cache"):
        await cache.load("k", Source(object()))


async def test_get_and_put(cache, clock):
    assert await cache.get("k") is None
    assert await cache.get("k", default=7) == 7
    assert await cache.put("k", [1], ttl_s=5)
    assert await cache.get("k") == [1]
    clock.now_s += 5
    assert await cache.get("k") is None


async def test_put_wins_over_a_load_that_began_before(cache):
    source = Source("loaded")
    source.gate.clear()
    asking = asyncio.create_task(cache.load("k", source))
    await turns()
    await cache.put("k", "put")
    source.gate.set()
    assert await asking == "loaded"
    assert await cache.get("k") == "put"


async def test_memory_is_bounded(cache):
    cache._memory.resize(1 << 20)
    for n in range(5000):
        await cache.put(f"k:{n}", "x" * 1000)
    statistics = cache.statistics()
    assert statistics.used_bytes <= statistics.capacity_bytes == 1 << 20
    assert statistics.evictions > 4000
    assert await cache.get("k:4999") is not None
    assert await cache.get("k:0") is None


async def test_a_value_that_is_too_large_is_answered_and_not_kept(cache):
    cache._memory.resize(1 << 20)
    source = Source("x" * 200_000)
    assert await cache.load("k", source) == source.value
    assert await cache.load("k", source) == source.value
    assert source.calls == 2
    assert cache.statistics().too_large == 2


async def test_close_stops_every_loader(cache):
    source = Source()
    source.gate.clear()
    asking = asyncio.create_task(cache.load("k", source))
    await turns()
    await cache.close()
    with pytest.raises(UnavailableError, match="cancelled"):
        await asking


async def test_close_waits_a_bounded_time_for_a_loader_that_swallows_its_cancellation(
    cache, monkeypatch
):
    monkeypatch.setattr(flights, "CANCEL_LIMIT_S", 0.1)
    go_on = asyncio.Event()

    async def stubborn():
        while not go_on.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await go_on.wait()
        return 1

    asking = asyncio.create_task(cache.load("k", stubborn))
    await turns()
    closing = asyncio.create_task(cache.close())
    done, _ = await asyncio.wait([closing], timeout=10)
    go_on.set()
    assert done
    assert await asking == 1
