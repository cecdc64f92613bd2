"""The distributed form: values are shared by processes, and a server that is away is a miss."""

import asyncio
import dataclasses
import signal
import sys
import time
import uuid

import pytest
from cache_places import epochs, place_of

from millions.errors import SdkError
from millions.sdk.cache import Cache, announcing, ledger, remote
from millions.testing import eventually
from millions.testing.valkey import EmbeddedValkey

KEY = uuid.uuid4()


@pytest.fixture
def form():
    return "distributed"


def used(made):
    return made.cache.statistics().servers_used


def owner(made, servers, key):
    """The server that keeps `key`, and the others."""
    name = made.cache._loading.remote.servers._ring.order(key)[0]
    port = int(name.rpartition(":")[2])
    return next(e for e in servers if e.port == port), [e for e in servers if e.port != port]


def forget_near(made):
    made.cache._memory.clear()


async def set_to(made, put, name, value):
    async with made.database.write(KEY) as s:
        await put(s, name, value)


async def settled(made):
    """Wait until the ledger is empty."""

    async def empty():
        return not await made.database.pool().fetchval("SELECT count(*) FROM millions.cache_stale")

    await eventually(empty, within_s=20)


async def test_what_one_process_has_loaded_no_other_loads(process, put):
    here, there = await process(), await process()
    assert used(here) == used(there) == 2
    for n in range(20):
        await set_to(here, put, f"n{n}", n)
    assert [await here.thing(f"n{n}") for n in range(20)] == list(range(20))
    assert [await there.thing(f"n{n}") for n in range(20)] == list(range(20))
    assert (here.loads, there.loads) == (20, 0)
    assert there.cache.statistics().server_hits == 20


async def test_a_herd_in_several_processes_makes_one_call(process):
    made = [await process() for _ in range(3)]
    calls = []

    async def slow():
        calls.append(1)
        await asyncio.sleep(0.3)  # sleeps: a loader that is slow
        return "loaded"

    asked = [each.cache.load("herd", slow) for each in made for _ in range(50)]
    assert set(await asyncio.gather(*asked)) == {"loaded"}
    assert len(calls) == 1


async def test_what_is_invalidated_outside_a_transaction_is_not_kept_near_by_who_asks_meanwhile(
    process, monkeypatch
):
    here = await process()
    await here.cache.put("k", "old")
    pool, asked = here.database.pool(), []

    class Late:
        async def execute(self, *arguments, **options):
            forget_near(here)
            asked.append(await here.cache.get("k"))  # the server has it until all were told
            return await pool.execute(*arguments, **options)

    monkeypatch.setattr(here.database, "pool", Late)
    await here.cache.invalidate("k")
    assert asked == ["old"]
    assert await here.cache.get("k") is None


async def test_a_value_that_cannot_be_sent_keeps_nobody_waiting(process, monkeypatch):
    here, there = await process(), await process()

    async def loads():
        return "loaded"

    def broken(*_arguments):
        raise ZeroDivisionError

    monkeypatch.setattr(here.cache._loading.remote, "_sealed", broken)
    with pytest.raises(ZeroDivisionError):
        await here.cache.load("k", loads)
    assert await asyncio.wait_for(there.cache.load("k", loads), remote.WAIT_LIMIT_S / 2) == "loaded"


async def test_a_loader_that_fails_lets_the_next_one_try(process):
    here, there = await process(), await process()
    began = asyncio.Event()

    async def fails():
        began.set()
        await asyncio.sleep(0.05)  # sleeps: a loader that is slow
        raise ZeroDivisionError

    async def loads():
        return "loaded"

    first = asyncio.create_task(here.cache.load("k", fails))
    await began.wait()
    assert await asyncio.wait_for(there.cache.load("k", loads), 5) == "loaded"
    with pytest.raises(ZeroDivisionError):
        await first


async def test_a_process_that_died_while_it_loaded_keeps_others_waiting_for_a_bounded_time(
    process, servers
):
    here = await process()
    server, _ = owner(here, servers, "k")
    server.ask("SET", "l:k", "somebody who is dead", "PX", "300")

    async def loads():
        return "loaded"

    assert await asyncio.wait_for(here.cache.load("k", loads), 10) == "loaded"
    server.ask("SET", "l:other", "somebody who never ends")
    remote_limit_s, remote.WAIT_LIMIT_S = remote.WAIT_LIMIT_S, 0.2
    try:
        assert await asyncio.wait_for(here.cache.load("other", loads), 10) == "loaded"
    finally:
        remote.WAIT_LIMIT_S = remote_limit_s


async def test_a_fill_that_began_before_a_commit_elsewhere_is_not_stored(process, put):
    here, there = await process(), await process()
    await set_to(there, put, "a", 1)
    read, go_on = asyncio.Event(), asyncio.Event()

    async def slow():
        value = await here.database.pool().fetchval("SELECT value FROM things WHERE name = 'a'")
        read.set()
        await go_on.wait()
        return value

    asking = asyncio.create_task(here.cache.load("thing:a", slow, tags=["things"]))
    await read.wait()
    await set_to(there, put, "a", 2)
    assert await there.thing("a") == 2
    go_on.set()
    assert await asking == 1
    forget_near(there)
    assert await there.thing("a") == 2
    forget_near(here)
    assert await here.thing("a") == 2


async def test_a_server_refuses_what_was_read_before_a_commit_that_the_reader_has_not_heard_of(
    process, put, monkeypatch
):
    here, there = await process(), await process()
    await set_to(there, put, "a", 1)
    monkeypatch.setattr(here.cache._coherence, "hear", lambda _payload: None)
    read, go_on = asyncio.Event(), asyncio.Event()

    async def slow():
        value = await here.database.pool().fetchval("SELECT value FROM things WHERE name = 'a'")
        read.set()
        await go_on.wait()
        return value

    asking = asyncio.create_task(here.cache.load("thing:a", slow, tags=["things"]))
    await read.wait()
    await set_to(there, put, "a", 2)
    await settled(there)
    go_on.set()
    assert await asking == 1
    found = await here.cache._loading.remote.find("thing:a", ("things",))
    assert found is None
    assert await there.thing("a") == 2


@pytest.mark.parametrize(
    ("name", "kept"),
    [("thing:a", False), ("things", False), ("thing:b", True)],
    ids=["its key", "its tag", "another"],
)
async def test_what_a_server_answers_after_it_was_forgotten_here_is_not_kept(
    process, put, name, kept
):
    here = await process()
    await set_to(here, put, "a", 1)
    assert await here.thing("a") == 1
    forget_near(here)
    asking = asyncio.create_task(here.thing("a"))
    await asyncio.sleep(0)  # it has asked the server, which has not answered
    (heard,) = announcing.payloads("another process", [name], uuid.uuid4())
    here.cache._coherence.hear(heard)
    assert await asking == 1
    assert ("thing:a" in here.cache._memory.entries) is kept


async def test_a_tag_is_forgotten_on_every_server(process, put):
    here, there = await process(), await process()
    for n in range(10):
        await set_to(here, put, f"n{n}", n)
        await there.thing(f"n{n}")
    async with here.database.write(KEY) as s:
        await put(s, "n3", 30, "things")
    assert await here.thing("n3") == 30
    assert [await here.thing(f"n{n}") for n in (1, 2)] == [1, 2]
    assert here.loads == 3

    async def heard():
        return await there.thing("n3") == 30

    await eventually(heard, within_s=5)


async def test_a_killed_server_is_a_miss_and_another_stands_in_for_it(process, put, servers):
    here, there = await process(), await process()
    await set_to(here, put, "a", 1)
    await here.thing("a")
    server, _ = owner(here, servers, "thing:a")
    server.stop()
    forget_near(here)
    assert await here.thing("a") == 1
    await eventually(lambda: used(here) == used(there) == 1, within_s=5)
    forget_near(here)
    assert await here.thing("a") == 1
    before = there.loads
    assert await there.thing("a") == 1
    assert there.loads == before
    await set_to(there, put, "a", 2)
    assert await there.thing("a") == 2
    server.start()
    await eventually(lambda: used(here) == used(there) == 2, within_s=10)
    forget_near(here)
    assert await here.thing("a") == 2
    await settled(here)


async def test_without_any_server_one_call_of_this_process_loads(process, servers):
    here = await process()
    for each in servers:
        each.stop()
    await eventually(lambda: used(here) == 0, within_s=5)
    calls = []

    async def slow():
        calls.append(1)
        await asyncio.sleep(0.02)  # sleeps: a loader that is slow
        return "loaded"

    asked = [here.cache.load("herd", slow) for _ in range(200)]
    assert set(await asyncio.gather(*asked)) == {"loaded"}
    assert len(calls) == 1


async def test_a_server_that_was_frozen_serves_nothing_that_was_invalidated_meanwhile(
    process, put, servers
):
    here, there = await process(), await process()
    for name in ("a", "b"):
        await set_to(here, put, name, 1)
        await here.thing(name)
    await settled(here)
    server, _ = owner(here, servers, "thing:a")
    server.send(signal.SIGSTOP)
    try:
        await set_to(here, put, "a", 2)
        assert await asyncio.wait_for(here.thing("a"), 5) == 2
        await eventually(lambda: used(here) == used(there) == 1, within_s=10)
        kept = await here.database.pool().fetchval("SELECT count(*) FROM millions.cache_stale")
        assert kept == 1
    finally:
        server.send(signal.SIGCONT)
    await eventually(lambda: used(here) == used(there) == 2, within_s=10)
    for made in (here, there):
        forget_near(made)
        assert await made.thing("a") == 2
    await settled(here)


async def test_a_server_that_refuses_to_forget_is_read_no_more(process, put, servers):
    here = await process()
    await set_to(here, put, "a", 1)
    await here.thing("a")
    for value in range(2, 12):
        for each in servers:
            each.ask("SCRIPT", "FLUSH")
        await set_to(here, put, "a", value)
        assert await here.thing("a") == value
        await eventually(lambda: used(here) == 2, within_s=10)
        assert await here.thing("a") == value
    await settled(here)


async def test_a_server_that_lacks_more_than_the_ledger_reads_is_emptied(
    process, put, servers, monkeypatch
):
    monkeypatch.setattr("millions.sdk.cache.servers.ROWS_MAX", 3)
    here = await process()
    await set_to(here, put, "a", 1)
    await here.cache.put("kept until then", 1)
    server, _ = owner(here, servers, "kept until then")
    server.send(signal.SIGSTOP)
    try:
        for value in range(5):
            await set_to(here, put, "a", value)
        await eventually(lambda: used(here) == 1, within_s=10)
    finally:
        server.send(signal.SIGCONT)
    await eventually(lambda: used(here) == 2, within_s=10)
    forget_near(here)
    assert await here.cache.get("kept until then") is None


async def test_who_dies_between_commit_and_invalidation_leaves_it_to_others(process, put):
    here = await process()
    await set_to(here, put, "a", 1)
    await here.thing("a")
    await settled(here)
    await here.database.pool().execute("UPDATE things SET value = 2 WHERE name = 'a'")
    await here.database.pool().execute(
        "INSERT INTO millions.cache_stale (id, names) VALUES (gen_random_uuid(), '{thing:a}')"
    )
    await settled(here)
    forget_near(here)
    assert await here.thing("a") == 2


async def test_a_new_process_forgets_what_nobody_has_settled_before_it_reads(process, put):
    here = await process()
    await set_to(here, put, "a", 1)
    await here.thing("a")
    await settled(here)
    await here.database.pool().execute("UPDATE things SET value = 2 WHERE name = 'a'")
    await here.database.pool().execute(
        "INSERT INTO millions.cache_stale (id, names) VALUES (gen_random_uuid(), '{thing:a}')"
    )
    there = await process()
    assert used(there) == 2
    assert await there.thing("a") == 2


async def test_servers_wait_for_transactions_that_may_not_know_of_them(
    process, servers, cache_directory
):
    here = await process()

    def follow(some):
        place = place_of(some)
        here.cache.follow(dataclasses.replace(cache_directory, epoch=next(epochs), cache=place))

    follow([])
    await eventually(lambda: here.cache.statistics().servers == 0, within_s=10)
    async with here.database.pool().acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("INSERT INTO things VALUES ('under way', 1)")
        follow(servers)
        await eventually(lambda: here.cache.statistics().servers == 2, within_s=10)
        found = here.cache._loading.remote.servers.all
        await eventually(
            lambda: all(each.link.trouble == "it may not be used yet" for each in found),
            within_s=10,
        )
        assert used(here) == 0
        await transaction.rollback()
    await eventually(lambda: used(here) == 2, within_s=10)


async def test_a_missing_package_is_said_at_the_start(database, cache_directory, monkeypatch):
    monkeypatch.setitem(sys.modules, "millions.sdk.cache.remote", None)
    cache = Cache(database)
    try:
        with pytest.raises(SdkError) as caught:
            await cache.open(cache_directory)
    finally:
        await cache.close()
    assert "millions[cached]" in caught.value.try_


async def test_a_rollback_leaves_nothing_in_the_ledger(process, put):
    here = await process()

    async def fail(s):
        await put(s, "a", 1)
        raise ZeroDivisionError

    await settled(here)
    with pytest.raises(ZeroDivisionError):
        await here.database.run(KEY, fail)
    assert not await here.database.pool().fetchval("SELECT count(*) FROM millions.cache_stale")


async def test_old_rows_become_one_for_each_server_that_is_away(process, put, servers, monkeypatch):
    monkeypatch.setattr(ledger, "KEPT_S", 0.5)
    here = await process()
    await settled(here)
    server, _ = owner(here, servers, "thing:a")
    server.stop()
    await eventually(lambda: used(here) == 1, within_s=5)
    for value in range(20):
        await set_to(here, put, "a", value)

    async def replaced():
        rows = await here.database.pool().fetch("SELECT server FROM millions.cache_stale")
        return [row["server"] for row in rows] == [f"127.0.0.1:{server.port}"]

    await eventually(replaced, within_s=20)
    server.start()
    await eventually(lambda: used(here) == 2, within_s=10)
    await settled(here)


async def test_what_is_not_sealed_by_this_stack_is_never_decoded(process, put, servers):
    here = await process()
    await set_to(here, put, "a", 1)
    await here.thing("a")
    server, _ = owner(here, servers, "thing:a")
    for foreign in ("", "nonsense", "\x01\x03\x0b" + "x" * 64):
        server.ask("SET", "e:thing:a", foreign)
        forget_near(here)
        assert await here.thing("a") == 1
    assert here.loads == 4


async def test_a_value_too_large_for_a_server_is_kept_near(process):
    here, there = await process(), await process()
    calls = []

    async def large():
        calls.append(1)
        return b"x" * (remote.VALUE_BYTES_MAX + 1)

    here.cache._memory.resize(64 << 20)
    there.cache._memory.resize(64 << 20)
    for _ in range(2):
        assert len(await here.cache.load("large", large)) > remote.VALUE_BYTES_MAX
        assert len(await there.cache.load("large", large)) > remote.VALUE_BYTES_MAX
    assert len(calls) == 2
    assert here.cache.statistics().too_large == 1


async def test_a_full_server_lets_go_of_values_and_answers_on(process, servers, put):
    here = await process()
    for each in servers:
        each.ask("CONFIG", "SET", "maxmemory", "3mb")
    try:
        here.cache._memory.resize(0)

        async def value():
            return b"x" * 4000

        for n in range(2000):
            assert len(await here.cache.load(f"k{n}", value)) == 4000
        await set_to(here, put, "a", 1)
        assert await here.thing("a") == 1
        await set_to(here, put, "a", 2)
        assert await here.thing("a") == 2
        assert used(here) == 2
        found = here.cache.statistics()
        assert (found.server_away, found.loads) == (0, 2002)
        assert all(b"evicted_keys:0\r" not in each.ask("INFO", "stats") for each in servers)
    finally:
        for each in servers:
            each.ask("CONFIG", "SET", "maxmemory", "64mb")


@pytest.mark.parametrize(
    "name",
    ["ä ö", "a\r\nGET b", "$5\r\n", "'\"\\", "{1}", "x" * 500, "\U0001f600", "*?[a]"],
    ids=["umlauts", "lines", "protocol", "quotes", "braces", "long", "wide", "pattern"],
)
async def test_odd_names_are_names_like_others(process, put, name):
    here, there = await process(), await process()
    await set_to(here, put, name, 1)
    assert await here.thing(name) == 1
    assert await there.thing(name) == 1
    async with there.database.write(KEY) as s:
        await put(s, name, 2, there.thing.key(name))
    assert await there.thing(name) == 2
    assert (here.loads, there.loads) == (1, 1)


async def test_a_stale_answer_serves_while_one_process_loads_anew(process):
    here, there = await process(), await process()
    calls = []

    async def value():
        calls.append(1)
        return len(calls)

    rules = {"ttl_s": 0.2, "stale_s": 60}
    assert await here.cache.load("k", value, **rules) == 1

    async def new():
        forget_near(there)
        return await there.cache.load("k", value, **rules) > 1

    async def stale():
        found = await there.cache._loading.remote.find("k")
        return time.time() > found.fresh_until_s

    await eventually(stale, within_s=5)
    assert await there.cache.load("k", value, **rules) == 1
    await eventually(new, within_s=5)


async def test_a_put_is_seen_elsewhere_and_wins_over_a_load_that_began_before(process):
    here, there = await process(), await process()
    go_on = asyncio.Event()

    async def slow():
        await go_on.wait()
        return "loaded"

    asking = asyncio.create_task(there.cache.load("k", slow))
    await eventually(lambda: bool(there.cache._flights._by_key), within_s=5)
    assert await here.cache.put("k", "put", tags=["t"])
    go_on.set()
    assert await asking == "loaded"
    forget_near(there)
    assert await there.cache.get("k") == "put"
    await here.cache.invalidate("t")
    assert await here.cache.get("k", "none") == "none"


async def test_servers_join_and_leave_while_it_is_open(
    process, put, servers, cache_directory, tmp_path
):
    here = await process()
    for n in range(60):
        await set_to(here, put, f"n{n}", n)
        await here.thing(f"n{n}")
    third = EmbeddedValkey(tmp_path / "third", password=servers[0].password).start()
    try:
        for count, some in ((3, [*servers, third]), (1, [third]), (0, []), (2, servers)):
            directory = dataclasses.replace(
                cache_directory, epoch=next(epochs), cache=place_of(some)
            )
            here.cache.follow(directory)
            await eventually(
                lambda count=count: (here.cache.statistics().servers, used(here)) == (count, count),
                within_s=10,
            )
            before = here.loads
            forget_near(here)
            assert [await here.thing(f"n{n}") for n in range(60)] == list(range(60))
            moved = here.loads - before
            assert (0 < moved < 45) if count == 3 else moved > 0
            await set_to(here, put, "n0", 0)
            assert await here.thing("n0") == 0
    finally:
        third.stop()
