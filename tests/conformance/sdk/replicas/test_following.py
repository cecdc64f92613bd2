"""What is not a block follows the primary too: raw connections, listeners, tasks, the cache."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses

import pytest
import pytest_asyncio
from notes import count, port, write
from replica_reading import SETTLE_S, request_of, settled
from sqlalchemy import text

from millions.sdk import migrations, nouns
from millions.sdk.database import RAW_HELD_S, Database
from millions.sdk.identifiers import uuid7
from millions.sdk.position import Seen
from millions.sdk.store.rows import Rows
from millions.sdk.visible import HELD
from millions.testing import eventually


def only(directory, endpoint=None):
    """The same directory on rung 1: one server, no replica."""
    shard = directory.database.shards[0]
    alone = dataclasses.replace(shard, primary=endpoint or shard.primary, replicas=())
    place = dataclasses.replace(directory.database, shards=(alone,))
    return dataclasses.replace(directory, database=place)


def db_shards(directory):
    return only(directory).database.shards


async def failed_over(servers):
    await asyncio.to_thread(servers.primary.kill)
    await asyncio.to_thread(servers.fail_over)


@pytest_asyncio.fixture(loop_scope="session")
async def opened(directory):
    await nouns.open_all(directory)
    yield nouns
    await nouns.close_all()


async def test_a_raw_pool_that_somebody_keeps_follows_the_primary(db, servers):
    pool = db.pool()
    connections = [await pool.acquire() for _ in range(3)]
    for connection in connections:
        assert await connection.fetchval("SELECT inet_server_port()") == servers.primary.port
    for connection in connections:
        await pool.release(connection)
    await failed_over(servers)

    async def answered():
        with contextlib.suppress(OSError):
            return await pool.fetchval("SELECT inet_server_port()")

    await eventually(answered, within_s=10)
    assert await answered() == servers.primary.port
    assert await pool.fetchval("SELECT pg_is_in_recovery()") is False


async def test_a_listener_ends_with_its_primary_and_the_next_one_is_on_the_new(db, servers):
    heard = await db.listener()
    await asyncio.to_thread(servers.primary.freeze)
    await asyncio.to_thread(servers.fail_over)
    await eventually(heard.is_closed, saying="the listener of the former primary is cut")
    listener = await db.listener()
    assert await listener.fetchval("SELECT inet_server_port()") == servers.primary.port
    await listener.close()


async def test_tasks_go_on_after_a_failover(opened, servers):
    done: list[int] = []

    @opened.tasks.task(name=f"note-{uuid7()}")
    async def note(number: int) -> None:
        done.append(number)

    await asyncio.to_thread(servers.synchronous)
    await opened.start_tasks(concurrency=4)
    for number in range(20):
        await note.enqueue(number)
    await failed_over(servers)
    for number in range(20, 40):
        async with opened.db.write(uuid7()) as session:
            await note.enqueue(number, session=session)
    await eventually(lambda: set(done) == set(range(40)), within_s=30)


async def test_what_the_cache_loads_for_everybody_comes_from_the_primary(opened, servers):
    await settled(opened.db)
    for member in servers.replicas():
        await asyncio.to_thread(member.pause)
    owner = uuid7()

    async def load():
        return (await count(opened.db, owner), await port(opened.db, owner))

    await write(opened.db, owner)  # another user's, of another process
    with request_of(Seen()):
        assert await count(opened.db, owner) == 0, "the replicas do not show it"
        assert await opened.cache.load("notes", load) == (1, servers.primary.port)


@pytest.mark.parametrize("loaded_by", ["another user", "a task"])
async def test_who_was_shown_a_cached_value_is_shown_nothing_older(opened, servers, loaded_by):
    await settled(opened.db)
    for member in servers.replicas():
        await asyncio.to_thread(member.pause)
    owner = uuid7()
    await write(opened.db, owner)

    async def load():
        return await count(opened.db, owner)

    if loaded_by == "a task":
        assert await opened.cache.load("shown", load) == 1
    else:
        with request_of(Seen()):
            assert await opened.cache.load("shown", load) == 1
    with request_of(Seen()):
        assert await opened.cache.load("shown", load) == 1  # a hit
        assert await count(opened.db, owner) == 1


async def test_a_cached_function_shows_nothing_older_later(opened, servers):
    await settled(opened.db)
    for member in servers.replicas():
        await asyncio.to_thread(member.pause)
    owner = uuid7()
    await write(opened.db, owner)

    @opened.cache.through(key=f"{uuid7()}:{{of}}")
    async def notes(of: str) -> int:
        assert of
        return await count(opened.db, owner)

    assert await notes("all") == 1
    with request_of(Seen()):
        assert await notes("all") == 1
        assert await count(opened.db, owner) == 1


async def nobody_left(servers):
    """Whether no replica has a connection of this process, but for those of the test."""
    ours = "SELECT count(*) FROM pg_stat_activity WHERE application_name ~ 'test [0-9]+( watch)?$'"
    counts = [int(await asyncio.to_thread(each.sql, ours)) for each in servers.replicas()]
    return not any(counts)


async def test_replicas_come_and_go_while_writers_write(directory, servers):
    db = Database(settle_s=SETTLE_S)
    await db.open(only(directory))
    owner, written, stop = uuid7(), 0, False

    async def write_on():
        nonlocal written
        while not stop:
            await write(db, owner)
            written += 1

    async def read_on():
        while not stop:
            await on_a_replica()

    async def on_a_replica():
        with request_of(Seen()):
            return await port(db, owner) != servers.primary.port

    going = [asyncio.ensure_future(work()) for work in (write_on, write_on, read_on, read_on)]
    await eventually(lambda: written > 20)
    assert db._home.topology is None
    await db.follow(directory)
    await settled(db)
    await eventually(on_a_replica)
    await db.follow(only(directory))
    before = written
    await eventually(lambda: written > before + 20)
    assert db._home.topology is None
    assert await port(db, owner) == servers.primary.port
    stop = True
    await asyncio.gather(*going)
    assert await count(db, owner) == written
    await eventually(lambda: nobody_left(servers), saying="no connection to those that left")
    await db.close()


async def test_a_database_that_moved_is_followed(directory, servers):
    """Rung 2: the same shard at another place, whose former server is gone."""
    db = Database()
    await db.open(only(directory))
    pool, owner = db.pool(), uuid7()
    await write(db, owner)
    assert await pool.fetchval("SELECT 1") == 1
    await failed_over(servers)
    place = servers.place(directory.database.name).shards[0].primary
    await db.follow(only(directory, place))
    assert await port(db, owner) == servers.primary.port
    assert await pool.fetchval("SELECT inet_server_port()") == servers.primary.port
    await db.close()


async def test_closing_leaves_no_connection(directory, servers):
    db = Database(settle_s=SETTLE_S)
    await db.open(directory)
    await settled(db)
    with request_of(Seen()):
        await asyncio.gather(*(port(db, uuid7()) for _ in range(10)))
    await db.close()
    ours = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{directory.database.name}'"

    async def none():
        counts = [int(await asyncio.to_thread(each.sql, ours)) for each in servers.members]
        return sum(counts) == 0

    await eventually(none)


async def test_a_statement_of_the_pool_is_text(db):
    """What is reported beside the answers does not stay in the way of the next user."""
    with request_of(Seen()):
        for _ in range(3):
            await port(db, uuid7())
        async with db.read(uuid7()) as session:
            name = await session.scalar(text("SHOW application_name"))
    assert name.startswith("replica ")


async def test_a_migration_finds_the_primary_of_a_directory_that_is_wrong(directory, servers):
    await failed_over(servers)
    engine = migrations.engine(directory)
    async with engine.begin() as connection:
        assert await connection.scalar(text("SELECT inet_server_port()")) == servers.primary.port
    await engine.dispose()
    shard = directory.database.shards[0]
    places = [shard.primary, *shard.replicas]
    ports = {each.port for each in servers.replicas()}
    replicas = tuple(each for each in places if each.port in ports)
    without = dataclasses.replace(shard, primary=replicas[0], replicas=replicas[1:])
    place = dataclasses.replace(directory.database, shards=(without,))
    engine = migrations.engine(dataclasses.replace(directory, database=place))
    with pytest.raises(ConnectionError, match="replica"):
        await engine.connect()
    await engine.dispose()


async def test_who_hears_of_the_members_and_of_a_move_at_once_holds_too(directory, servers):
    """A process was busy while the directory changed twice."""
    db = Database(settle_s=SETTLE_S, hold_s=20)
    await db.open(only(directory))
    await write(db, uuid7())
    place = directory.database
    shards = tuple(dataclasses.replace(each, held=True) for each in place.shards)
    held = dataclasses.replace(directory, database=dataclasses.replace(place, shards=shards))
    await db.follow(held)
    topology = db._home.topology
    await eventually(lambda: topology.primary is not None, saying="it knows who leads")
    writing = asyncio.ensure_future(write(db, uuid7()))
    looks = "SELECT query FROM pg_stat_activity WHERE application_name LIKE '% watch'"

    async def told():
        return (await asyncio.to_thread(servers.primary.sql, looks)).startswith(HELD)

    await eventually(told, saying="who moves the database sees that it holds")
    assert topology.held
    assert not writing.done()
    await db.follow(directory)
    await asyncio.wait_for(writing, 10)
    await db.close()


async def test_replicas_that_join_a_server_that_was_held_are_asked_only_after_a_while(directory):
    """Other processes may not know of them yet, and send no cookie."""
    db = Database(settle_s=SETTLE_S, hold_s=20)
    alone = only(directory)
    await db.open(alone)
    shards = tuple(dataclasses.replace(each, held=True) for each in alone.database.shards)
    place = dataclasses.replace(alone.database, shards=shards)
    await db.follow(dataclasses.replace(alone, database=place))
    topology = db._home.topology
    await eventually(lambda: topology.floor is not None)
    await db.follow(directory)
    assert topology is db._home.topology
    assert topology.floor is None
    await settled(db)
    await db.close()


async def test_raw_statements_wait_a_moment_for_a_server_that_is_about_to_change(directory):
    """Whoever moves it finds no statement under way that its end would cut off."""
    db = Database(settle_s=SETTLE_S, hold_s=20)
    await db.open(only(directory))
    shards = tuple(dataclasses.replace(each, held=True) for each in db_shards(directory))
    place = dataclasses.replace(only(directory).database, shards=shards)
    await db.follow(dataclasses.replace(directory, database=place))
    await eventually(lambda: db._home.topology.primary is not None)
    rows = Rows(db)
    waiting = asyncio.ensure_future(rows.run("SELECT 1 AS one"))
    done, _ = await asyncio.wait([waiting], timeout=RAW_HELD_S / 2)
    assert not done
    await db.follow(only(directory))
    assert (await asyncio.wait_for(waiting, RAW_HELD_S / 2))[0]["one"] == 1
    await db.close()


async def test_a_raw_statement_within_a_block_ends_before_the_block_is_cut_off(directory):
    db = Database(settle_s=SETTLE_S, hold_s=20)
    await db.open(only(directory))
    shards = tuple(dataclasses.replace(each, held=True) for each in db_shards(directory))
    place = dataclasses.replace(only(directory).database, shards=shards)
    async with db.write(uuid7()) as session:
        await session.execute(text("SELECT 1"))
        await db.follow(dataclasses.replace(directory, database=place))
        async with asyncio.timeout(2 * RAW_HELD_S):
            await Rows(db).run("SELECT 1")
    await db.close()
