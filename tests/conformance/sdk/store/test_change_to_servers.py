"""From tables to servers while several processes use them: nothing is lost or counted twice."""

import asyncio
import contextlib
import dataclasses
import signal

import pytest

from millions.errors import ConflictError, SdkError, UnavailableError
from millions.sdk import schema
from millions.sdk.database import Database
from millions.sdk.store import SCHEMA, Store
from millions.sdk.store import home as home_module
from millions.sdk.store.progress import unmoved
from millions.testing import eventually

WITHIN_S = 60
KEYS = 30


class Process:
    """What one process has: a database of its own connections, and a store on it."""

    def __init__(self, directory):
        self.directory = directory
        self.database = Database()
        self.store = Store(self.database)

    async def open(self):
        await self.database.open(self.directory)
        async with self.database.pool().acquire() as connection:
            await schema.ensure(connection, SCHEMA)
        await self.store.open(self.directory)

    async def close(self):
        await self.store.close()
        await self.database.close()

    async def names(self):
        rows = await self.database.pool().fetch(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'millions'"
        )
        return {row["tablename"] for row in rows}


async def a_moment_or(done):
    """Wait for `done`, at most half a second.

    Once the first of several processes has changed over those that have not heard of it keep who
    comes to them waiting, so that perhaps nobody goes on.
    """
    with contextlib.suppress(AssertionError):
        await eventually(done, within_s=0.5)


@contextlib.asynccontextmanager
async def opened(directory, number=1):
    processes = [Process(directory) for _ in range(number)]
    try:
        for each in processes:
            await each.open()
        yield processes
    finally:
        for each in processes:
            await each.close()


@pytest.fixture
async def places(make_directory, store_servers):
    """The directory of a stack without servers of the store, and the one with them."""
    await asyncio.to_thread(store_servers.wait_ready)
    await asyncio.to_thread(store_servers.empty)
    directory = make_directory()
    return directory, dataclasses.replace(directory, store=store_servers.place)


async def over(process):
    """Everything is on the servers and the tables are gone."""
    return not {"documents", "former_documents", "former_sorted_items"} & await process.names()


class Users:
    """What goes on all the time, and what has to be true at its end."""

    def __init__(self, processes):
        self.processes = processes
        self.ends = False
        self.counted = dict.fromkeys(range(KEYS), 0)
        self.documents = dict.fromkeys(range(KEYS), 0)
        self.added = {n: set() for n in range(KEYS)}
        self.logged_out = []

    async def act(self, process, user):
        """One user: every step must see all that the user did before, in whatever process."""
        round_ = 0
        while not self.ends:
            round_ += 1
            store = self.processes[(process + round_) % len(self.processes)].store
            session = await store.get(f"session:{user}")
            if session is None or session.value != self.documents[user]:
                self.logged_out.append((user, round_, session, self.documents[user]))
                return
            await store.put(f"session:{user}", round_, if_version=session.version, ttl_s=600)
            self.documents[user] = round_
            assert await store.increment(f"views:{user}") == self.counted[user] + 1
            self.counted[user] += 1
            await store.sorted(f"feed:{user}").add(str(round_), round_)
            self.added[user].add(str(round_))

    async def judge(self, store):
        assert self.logged_out == []
        for user in range(KEYS):
            assert (await store.get(f"session:{user}")).value == self.documents[user]
            assert await store.count(f"views:{user}") == self.counted[user]
            page = await store.sorted(f"feed:{user}").range(1000)
            assert {scored.member for scored in page} == set(
                sorted(self.added[user], key=int)[-1000:]
            )


async def test_nobody_is_logged_out_and_no_count_is_wrong_while_processes_change_over(places):
    before, after = places
    async with opened(before, 3) as processes:
        users = Users(processes)
        for user in range(KEYS):
            await processes[0].store.put(f"session:{user}", 0)
        tasks = [asyncio.create_task(users.act(n, user)) for n, user in enumerate(range(KEYS))]

        def gone_on(more):
            goal = sum(users.counted.values()) + more
            return lambda: sum(users.counted.values()) >= goal or any(t.done() for t in tasks)

        await eventually(gone_on(100), within_s=WITHIN_S)
        for process in processes:  # each hears of it at another time
            await process.store.home.follow(after.store)
            await a_moment_or(gone_on(30))
        await eventually(lambda: over(processes[0]), within_s=WITHIN_S)
        await eventually(gone_on(60), within_s=WITHIN_S)
        users.ends = True
        await asyncio.gather(*tasks)
        await users.judge(processes[1].store)
    async with opened(after) as (later,):
        await users.judge(later.store)


async def test_what_was_in_the_tables_is_found_at_once_and_with_its_version_and_time(places):
    before, after = places
    async with opened(before) as (process,):
        version = await process.store.put("kept", {"a": 1})
        await process.store.put("short", 1, ttl_s=0.05)
        await process.store.put("long", 1, ttl_s=600)
        await process.store.increment("views", by=2**62)
        await process.store.sorted("feed").add_many({f"{n:05}": n / 3 for n in range(1500)})
        await process.store.add_to_many([f"list:{n}" for n in range(500)], "photo", 1.5)
    async with opened(after) as (process,):
        store = process.store
        assert (await store.get("kept")).version == version
        assert await store.get("short") is None
        assert (await store.get("long")).value == 1
        assert await store.count("views") == 2**62
        assert [item.score for item in await store.sorted("feed").range(2)] == [1499 / 3, 1498 / 3]
        assert await store.sorted("feed").size() == 1500
        assert await store.put("kept", 2, if_version=version) > version
        with pytest.raises(ConflictError):
            await store.put("kept", 3, if_version=version)
        assert await store.delete("long") is True
        assert await store.get("long") is None
        await eventually(lambda: over(process), within_s=WITHIN_S)
        assert await store.get("long") is None
        assert await store.sorted("list:499").score("photo") == 1.5


async def test_a_change_that_is_cut_off_is_finished_by_who_comes_next(places):
    before, after = places
    async with opened(before) as (process,):
        await process.store.put("kept", 1)
        for n in range(3000):
            await process.database.pool().execute(
                "INSERT INTO millions.counters VALUES ($1, $2)", f"views:{n}", n
            )
        await process.store.home.follow(after.store)

        async def begun():
            return "former_documents" in await process.names()

        await eventually(begun, within_s=WITHIN_S)
        async with process.database.pool().acquire() as connection:
            assert await unmoved(connection, to_servers=True) is not None
    async with opened(after, 2) as processes:
        counts = await processes[0].store.counts([f"views:{n}" for n in range(3000)])
        assert counts == {f"views:{n}": n for n in range(3000)}
        await eventually(lambda: over(processes[1]), within_s=WITHIN_S)
        assert (await processes[1].store.get("kept")).value == 1


async def test_who_does_not_know_the_servers_is_told_and_changes_nothing(places, monkeypatch):
    before, after = places
    monkeypatch.setattr(home_module, "CHANGE_WITHIN_S", 0.5)
    async with opened(before) as (former,), opened(after) as (process,):
        await process.store.put("key", "there")
        with pytest.raises(UnavailableError, match="servers of its own"):
            await former.store.put("key", "here")
        assert (await process.store.get("key")).value == "there"


async def test_servers_that_do_not_answer_leave_the_store_where_it_is(places, store_servers):
    before, after = places
    async with opened(before) as (process,):
        await process.store.put("key", 1)
        for number in (1, 2, 3):
            store_servers.send(number, signal.SIGSTOP)
        try:
            await process.store.home.follow(after.store)
            assert await process.store.increment("views") == 1
            assert (await process.store.get("key")).value == 1
        finally:
            for number in (1, 2, 3):
                store_servers.send(number, signal.SIGCONT)
        await eventually(lambda: over(process), within_s=WITHIN_S)
        assert await process.store.count("views") == 1


async def test_a_write_in_a_transaction_is_refused_with_the_way_out(distributed, database):
    async with database.write("key") as session:
        with pytest.raises(SdkError, match="task"):
            await distributed.put("key", 1, session=session)
    assert await distributed.get("key") is None
