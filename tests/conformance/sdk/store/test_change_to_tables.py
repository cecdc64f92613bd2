"""From servers to tables while several processes use them: nothing is lost or counted twice."""

import asyncio
import contextlib
import dataclasses
import signal

import pytest
from test_change_to_servers import (
    KEYS,
    WITHIN_S,
    Users,
    a_moment_or,
    opened,
    places,  # noqa: F401  # a fixture
)

from millions.errors import ConflictError, UnavailableError
from millions.sdk.store import changes
from millions.sdk.store import home as home_module
from millions.sdk.store.moving import ONE_MOVES
from millions.sdk.store.progress import unmoved
from millions.testing import eventually
from millions.testing.store import wait_leader


def back(after):
    """The directory of a stack whose servers of the store are leaving."""
    place = dataclasses.replace(after.store, servers=(), former=after.store.servers)
    return dataclasses.replace(after, store=place)


async def left(process, *, to_servers):
    async with process.database.pool().acquire() as connection:
        return await unmoved(connection, to_servers=to_servers)


@contextlib.asynccontextmanager
async def held_up(process):
    """Nobody moves what nobody asks for, as long as this lasts."""
    async with process.database.pool().acquire() as connection:
        await connection.execute("SELECT pg_advisory_lock($1)", ONE_MOVES)
        try:
            yield
        finally:
            await connection.execute("SELECT pg_advisory_unlock($1)", ONE_MOVES)


async def is_there(process):
    return await left(process, to_servers=True) == 0


async def is_absent(store, key):
    return await store.get(key) is None


async def is_begun(process):
    return await left(process, to_servers=False) is not None


async def latest(process):
    return await changes.latest(process.database.pool())


async def is_back(process):
    return await left(process, to_servers=False) == 0


class Crowd:
    """Users who go on for as long as the block lasts, in whichever of the processes."""

    def __init__(self, processes):
        self.processes = processes
        self.users = Users(processes)

    async def __aenter__(self):
        for user in range(KEYS):
            await self.processes[0].store.put(f"session:{user}", 0)
        self.tasks = [asyncio.create_task(self.users.act(n, n)) for n in range(KEYS)]
        return self

    async def __aexit__(self, *_):
        self.users.ends = True
        await asyncio.gather(*self.tasks)
        await self.users.judge(self.processes[1].store)

    def gone_on(self, rounds):
        counted = self.users.counted
        goal = sum(counted.values()) + rounds
        return lambda: sum(counted.values()) >= goal or any(t.done() for t in self.tasks)

    async def more(self, rounds):
        await eventually(self.gone_on(rounds), within_s=WITHIN_S)

    async def follow(self, directory):
        for process in self.processes:  # each hears of it at another time
            await process.store.home.follow(directory.store)
            await a_moment_or(self.gone_on(30))


async def test_nobody_is_logged_out_and_no_count_is_wrong_there_and_back_and_again(
    places,  # noqa: F811
    store_servers,
):
    before, after = places
    async with opened(before, 3) as processes, Crowd(processes) as crowd:
        first, second, third = processes
        await crowd.more(60)
        assert await left(first, to_servers=True) is None
        for leader_dies in (False, True):
            await crowd.follow(after)
            await eventually(lambda: is_there(first), within_s=WITHIN_S)
            assert await left(first, to_servers=False) is None
            await first.store.add_to_many([f"list:{n}" for n in range(1000)], "a", 1.5)
            async with held_up(first):
                await crowd.follow(back(after))
                await eventually(lambda: is_begun(first), within_s=WITHIN_S)
                if leader_dies:
                    leader = await asyncio.to_thread(wait_leader, store_servers)
                    await asyncio.to_thread(store_servers.kill, leader)
            await eventually(lambda: is_back(second), within_s=WITHIN_S)
            assert await third.store.sorted("list:999").score("a") == 1.5
        store_servers.begin(leader)
        await asyncio.to_thread(store_servers.wait_ready)
        await crowd.follow(before)
        for process in processes:
            await eventually(lambda home=process.store.home: home.reaches_nobody, within_s=5)
        await crowd.more(60)
    async with opened(before) as (later,):
        await crowd.users.judge(later.store)
        version = (await later.store.get("session:0")).version
        assert await later.store.put("session:0", 0, if_version=version) > version


async def test_what_was_on_the_servers_is_found_at_once_and_with_its_version_and_time(places):  # noqa: F811
    _, after = places
    async with opened(after) as (process,):
        await eventually(lambda: is_there(process), within_s=WITHIN_S)
        version = await process.store.put("kept", {"a": "é\0"})
        await process.store.put("short", 1, ttl_s=0.2)
        await process.store.put("long", 1, ttl_s=600)
        await process.store.increment("views", by=2**62)
        await process.store.increment("window", ttl_s=600)
        await process.store.sorted("feed").add_many({f"{n:05}": n / 3 for n in range(6000)})
        await process.store.add_to_many([f"list:{n}" for n in range(1000)], "photo", 1.5)
    async with opened(back(after), 2) as (process, other):
        store = process.store
        found = await asyncio.gather(*(each.store.get("kept") for each in (process, other) * 20))
        assert {(each.version, each.value["a"]) for each in found} == {(version, "é\0")}
        assert (await store.get("long")).value == 1
        assert await store.count("views") == 2**62
        assert [item.score for item in await store.sorted("feed").range(2)] == [5999 / 3, 5998 / 3]
        assert await store.sorted("feed").size() == 6000
        assert await store.put("kept", 2, if_version=version) > version
        with pytest.raises(ConflictError):
            await other.store.put("kept", 3, if_version=version)
        assert await store.delete("long") is True
        assert await other.store.get("long") is None
        await eventually(lambda: is_back(process), within_s=WITHIN_S)
        assert await other.store.get("long") is None
        await eventually(lambda: is_absent(store, "short"), within_s=WITHIN_S)
        rows = await process.database.pool().fetch(
            "SELECT key, extract(epoch FROM expires_at - now())::float8 AS left_s "
            "FROM millions.counters ORDER BY key"
        )
        assert [row["key"] for row in rows] == ["views", "window"]
        assert rows[0]["left_s"] is None
        assert 0 < rows[1]["left_s"] <= 600
        assert await store.sorted("list:999").score("photo") == 1.5
        assert "store_moved" not in await process.names()
        assert "store_returned" not in await process.names()


async def test_a_return_that_is_cut_off_is_finished_by_who_comes_next_and_before_a_new_change(
    places,  # noqa: F811
    monkeypatch,
):
    before, after = places
    monkeypatch.setattr(home_module, "CHANGE_WITHIN_S", 0.5)
    monkeypatch.setattr(home_module, "OPEN_WITHIN_S", 0.5)
    async with opened(after) as (process,):
        await process.store.put("kept", 1)
        await process.store.add_to_many([f"list:{n}" for n in range(1000)], "photo", 1.5)
        await eventually(lambda: is_there(process), within_s=WITHIN_S)
        async with held_up(process):
            await process.store.home.follow(back(after).store)
            await eventually(lambda: is_begun(process), within_s=WITHIN_S)
            begun = await latest(process)
            await process.store.home.close()
    async with opened(before) as (stranger,):
        with pytest.raises(UnavailableError, match="servers of its own"):
            await stranger.store.get("kept")
    async with opened(after) as (process,):  # wants the servers: first everything has to be back
        assert (await process.store.get("kept")).value == 1
        await process.store.increment("views")
        await eventually(lambda: is_there(process), within_s=WITHIN_S)
        assert (await latest(process)).number == begun.number + 1
        assert await process.store.count("views") == 1
        assert await process.store.sorted("list:999").score("photo") == 1.5


async def test_who_has_not_heard_is_refused_by_the_servers_and_goes_where_the_store_is(places):  # noqa: F811
    _, after = places
    async with opened(after, 2) as (process, stale):
        await eventually(lambda: is_there(process), within_s=WITHIN_S)
        assert await stale.store.increment("views") == 1
        former = await latest(process)
        await process.store.home.follow(back(after).store)
        await eventually(lambda: is_back(process), within_s=WITHIN_S)
        assert await stale.store.increment("views") == 2
        assert await process.store.increment("views") == 3
        assert await is_back(process)  # and did not begin a change of its own
        assert (await latest(process)).number == former.number + 1


async def test_servers_that_were_left_by_who_died_then_stay_the_home(places):  # noqa: F811
    _, after = places
    async with opened(after) as (process,):
        await eventually(lambda: is_there(process), within_s=WITHIN_S)
        await process.store.put("key", 1)
        former = (await latest(process)).number
        reaching = process.store.home._reaching
        await reaching.asking(former).turn(former + 1, 7)  # and then it died
        assert (await process.store.get("key")).value == 1
        assert await process.store.increment("views") == 1
        assert await process.store.put("key", 2) > 8 * changes.VERSIONS_OF_A_TERM
        assert await latest(process) == changes.Change(
            number=former + 2, to_servers=True, is_over=True
        )


async def test_servers_that_do_not_answer_keep_the_store_until_they_do(places, store_servers):  # noqa: F811
    _, after = places
    async with opened(after) as (process,):
        await process.store.put("key", 1)
        for number in (1, 2, 3):
            store_servers.send(number, signal.SIGSTOP)
        try:
            await process.store.home.follow(back(after).store)
            assert await left(process, to_servers=False) is None
        finally:
            for number in (1, 2, 3):
                store_servers.send(number, signal.SIGCONT)
        await eventually(lambda: is_back(process), within_s=WITHIN_S)
        assert (await process.store.get("key")).value == 1
