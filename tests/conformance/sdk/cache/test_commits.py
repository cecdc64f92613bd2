"""G5 in one process: after a commit no cache serves older data than the commit."""

import asyncio
import uuid

import pytest

from millions.errors import SdkError, UnavailableError
from millions.sdk.cache import Cache
from millions.sdk.database import Database

KEY = uuid.uuid4()


class RolledBackError(Exception):
    pass


async def test_a_commit_makes_what_it_names_unknown(process, put):
    here = await process()
    async with here.database.write(KEY) as s:
        await put(s, "a", 1)
    assert await here.thing("a") == 1
    async with here.database.write(KEY) as s:
        await put(s, "a", 2)
        assert await here.thing("a") == 1
    assert await here.thing("a") == 2
    assert await here.thing("a") == 2
    assert here.loads == 2


async def test_a_rollback_keeps_what_was_known(process, put):
    here = await process()
    async with here.database.write(KEY) as s:
        await put(s, "a", 1)
    await here.thing("a")

    async def fail(s):
        await put(s, "a", 2)
        raise RolledBackError

    with pytest.raises(RolledBackError):
        await here.database.run(KEY, fail)
    assert await here.thing("a") == 1
    assert here.loads == 1


async def test_a_rollback_at_the_commit_itself_keeps_what_was_known(process, put):
    here = await process()
    await here.database.pool().execute(
        "CREATE TABLE IF NOT EXISTS late (n int UNIQUE DEFERRABLE INITIALLY DEFERRED)"
    )
    async with here.database.write(KEY) as s:
        await put(s, "a", 1)
    await here.thing("a")

    async def fail(s):
        connection = await s.connection()
        await connection.exec_driver_sql("INSERT INTO late VALUES (1), (1)")
        await put(s, "a", 2)

    with pytest.raises(Exception, match="unique"):
        await here.database.run(KEY, fail)
    assert await here.thing("a") == 1
    assert here.loads == 1
    assert here.cache.statistics().pending == 0


async def test_a_fill_that_began_before_the_commit_is_not_stored(process, put):
    here = await process()
    async with here.database.write(KEY) as s:
        await put(s, "a", 1)
    read, go_on = asyncio.Event(), asyncio.Event()

    async def slow():
        value = await here.database.pool().fetchval("SELECT value FROM things WHERE name = 'a'")
        read.set()
        await go_on.wait()
        return value

    asking = asyncio.create_task(here.cache.load("thing:a", slow))
    await read.wait()
    async with here.database.write(KEY) as s:
        await put(s, "a", 2)
    go_on.set()
    assert await asking == 1
    assert await here.thing("a") == 2


async def test_nobody_joins_a_load_that_began_before_the_commit(process, put):
    here = await process()
    async with here.database.write(KEY) as s:
        await put(s, "a", 1)
    read, go_on = asyncio.Event(), asyncio.Event()

    async def slow():
        value = await here.database.pool().fetchval("SELECT value FROM things WHERE name = 'a'")
        read.set()
        await go_on.wait()
        return value

    asking = asyncio.create_task(here.cache.load("thing:a", slow))
    await read.wait()
    async with here.database.write(KEY) as s:
        await put(s, "a", 2)
    assert await asyncio.wait_for(here.thing("a"), 5) == 2
    go_on.set()
    assert await asking == 1
    assert await here.thing("a") == 2


async def test_while_a_commit_is_under_way_hits_and_fills_go_to_the_loader(process, put):
    here = await process()
    async with here.database.write(KEY) as s:
        await put(s, "a", 1)
    await here.thing("a")
    seen = []

    class Watcher:
        """Looks in right before COMMIT is sent, after the cache has been told."""

        async def prepare(self, session, names):  # noqa: ARG002  # the shape of a watcher
            seen.append((await here.thing("a"), here.loads, here.cache.statistics().pending))
            seen.append((await here.thing("a"), here.loads, await here.cache.put("thing:a", 9)))

        def committed(self, names):
            pass

        def aborted(self, names, *, unknown):
            pass

    here.database.watch_commits(Watcher())
    async with here.database.write(KEY) as s:
        await put(s, "a", 2)
    assert seen == [(1, 2, 1), (1, 3, False)]
    assert await here.thing("a") == 2
    assert here.loads == 4
    assert here.cache.statistics().pending == 0


async def test_a_load_that_lands_while_a_commit_is_under_way_is_not_stored(process, put):
    here = await process()
    async with here.database.write(KEY) as s:
        await put(s, "a", 1)
    read, go_on = asyncio.Event(), asyncio.Event()

    async def slow():
        value = await here.database.pool().fetchval("SELECT value FROM things WHERE name = 'a'")
        read.set()
        await go_on.wait()
        return value

    asking = asyncio.create_task(here.cache.load("thing:a", slow))
    await read.wait()
    kept = []

    class Watcher:
        """Lets the load land after the cache has been told, and before COMMIT is sent."""

        async def prepare(self, session, names):  # noqa: ARG002  # the protocol's own
            go_on.set()
            kept.extend([await asking, await here.cache.get("thing:a")])

        def committed(self, names):
            pass

        def aborted(self, names, *, unknown):
            pass

    here.database.watch_commits(Watcher())
    async with here.database.write(KEY) as s:
        await put(s, "a", 2)
    assert kept == [1, None]


async def test_two_commits_of_one_name_keep_it_pending_until_both_are_known(process):
    here = await process()
    coherence = here.cache._coherence
    async with here.database.write(KEY) as first, here.database.write(KEY) as second:
        await here.cache.put("k", "old")
        await coherence.prepare(first, frozenset({"k"}))
        await coherence.prepare(second, frozenset({"k"}))
        coherence.committed(frozenset({"k"}))
        assert not await here.cache.put("k", "too early")
        coherence.aborted(frozenset({"k"}), unknown=False)
        assert await here.cache.get("k") is None  # the rollback must not bring "old" back
        assert await here.cache.put("k", "now")


async def test_a_tag_and_many_names_are_invalidated_by_one_commit(process, put):
    here = await process()
    async with here.database.write(KEY) as s:
        for n in range(100):
            await put(s, f"n{n}", n)
    for n in range(100):
        await here.thing(f"n{n}")
    async with here.database.write(KEY) as s:
        await put(s, "n7", 70, "things")
    assert await here.thing("n7") == 70
    assert await here.thing("n8") == 8
    assert here.loads == 102
    async with here.database.write(KEY) as s:
        await put(s, "n7", 700, *(f"thing:n{n}" for n in range(20_000)))
    assert await here.thing("n7") == 700


async def test_a_transaction_that_was_never_prepared_disturbs_no_other(process, put):
    here = await process()
    async with here.database.write(KEY) as s:
        await put(s, "a", 1)
    await here.thing("a")

    async def fail(s):
        s.invalidates("thing:a")
        raise RolledBackError

    with pytest.raises(RolledBackError):
        await here.database.run(KEY, fail)
    assert await here.thing("a") == 1
    assert here.loads == 1
    assert here.cache.statistics().pending == 0


@pytest.mark.parametrize("name", ["", "x" * 600, "a\0b"], ids=["empty", "long", "nul"])
async def test_a_name_that_cannot_be_announced_fails_the_transaction(process, put, name):
    here = await process()

    async def write(s):
        await put(s, "refused", 1, name)

    with pytest.raises(SdkError):
        await here.database.run(KEY, write)
    assert await here.thing("refused") is None
    assert here.cache.statistics().pending == 0


async def test_a_commit_whose_outcome_is_unknown_is_taken_for_done_now_and_later(process):
    here = await process()
    coherence = here.cache._coherence
    await here.cache.put("k", "old")
    async with here.database.write(KEY) as s:
        await coherence.prepare(s, frozenset({"k"}))
        coherence.aborted(frozenset({"k"}), unknown=True)
        await s.rollback()
    assert await here.cache.get("k") is None
    await here.cache.put("k", "read before that commit happened after all")
    await here.cache.put("other", "kept")
    ours = here.cache._sender
    coherence.hear(f'{{"from": "{ours}", "names": ["other"]}}')
    coherence.hear(f'{{"from": "{ours}", "names": ["k"]}}')
    assert await here.cache.get("k") is None
    assert await here.cache.get("other") == "kept"


async def test_a_cache_that_is_not_open_says_so(database):
    closed = Database()
    cache = Cache(closed)
    for call in (
        cache.load("k", lambda: None),
        cache.put("k", 1),
        cache.invalidate("k"),
    ):
        with pytest.raises(UnavailableError, match="not open"):
            await call
