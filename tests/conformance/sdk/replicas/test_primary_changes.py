"""Another server becomes the primary: nothing acknowledged is lost, and nobody has to know."""

from __future__ import annotations

import asyncio
import time

import pytest
from notes import Note, count, port, write
from replica_reading import SETTLE_S, request_of, settled
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from millions.errors import CommitUnknownError, UnavailableError
from millions.sdk.database import Database
from millions.sdk.identifiers import uuid7
from millions.sdk.position import Seen
from millions.testing import eventually

WRITERS = 6
FOUND_WITHIN_S = 10.0
"""From the promotion to the next write, on a machine with other work; usually 0.1 s."""


class Writers:
    """Write on and on; what was acknowledged, unknown or refused is kept."""

    def __init__(self, db):
        self.db = db
        self.owner = uuid7()
        self.acknowledged, self.unknown, self.errors = set(), set(), []
        self.stop = False
        self.slowest_s = 0.0

    async def __aenter__(self):
        works = [self.with_run] * (WRITERS // 2) + [self.with_write] * (WRITERS // 2)
        self.tasks = [asyncio.ensure_future(self.go_on(work)) for work in works]
        await eventually(lambda: len(self.acknowledged) > 50)
        return self

    async def __aexit__(self, *_):
        self.stop = True
        await asyncio.gather(*self.tasks)

    async def go_on(self, work):
        while not self.stop:
            note, began_s = uuid7(), time.monotonic()
            try:
                await work(note)
            except CommitUnknownError:
                self.unknown.add(note)
            except DBAPIError as error:
                self.errors.append((work.__name__, str(error)))
            else:
                self.acknowledged.add(note)
                self.slowest_s = max(self.slowest_s, time.monotonic() - began_s)

    async def with_run(self, note):
        async def work(session):
            session.add(Note(id=note))

        await self.db.run(self.owner, work)

    async def with_write(self, note):
        async with self.db.write(self.owner) as session:
            session.add(Note(id=note))

    async def check(self):
        async with self.db.read(self.owner) as session:
            kept = set(await session.scalars(select(Note.id).where(Note.owner_id == self.owner)))
        assert self.acknowledged <= kept
        assert kept <= self.acknowledged | self.unknown
        assert len(self.unknown) <= WRITERS
        assert len(self.errors) <= WRITERS
        for work, words in self.errors:
            assert work == "with_write", "db.run repeats what was undone"
            assert "duplicate" not in words, "something took effect twice"

    async def go_on_writing(self, within_s=20.0):
        before = len(self.acknowledged)
        await eventually(lambda: len(self.acknowledged) > before + 50, within_s=within_s)


@pytest.mark.parametrize("harm", ["kill", "freeze"])
async def test_a_failover_under_writers_loses_no_acknowledged_write(db, servers, harm):
    await asyncio.to_thread(servers.synchronous)
    async with Writers(db) as writers:
        await asyncio.to_thread(getattr(servers.primary, harm))
        await asyncio.to_thread(servers.fail_over)
        await writers.go_on_writing()
    await writers.check()


async def test_a_former_primary_that_goes_on_gets_no_more_writes(db, servers):
    """Nobody stops it, and nothing breaks: only the timeline says that it is the former one."""
    former = servers.primary
    await write(db, uuid7())
    await asyncio.to_thread(servers.wait_replayed)
    await asyncio.to_thread(servers.fail_over)

    async def followed():
        return await port(db, uuid7()) == servers.primary.port

    await eventually(followed)
    for _ in range(20):
        await write(db, uuid7())
    name = db._home._place.name
    kept = "SELECT count(*) FROM notes"
    assert await asyncio.to_thread(lambda: former.sql(kept, database=name)) == "1"
    assert await asyncio.to_thread(lambda: servers.primary.sql(kept, database=name)) == "21"


async def test_what_waits_on_a_frozen_primary_fails_when_another_one_is_found(db, servers):
    async def slow():
        async with db.write(uuid7()) as session:
            await session.execute(text("SELECT pg_sleep(30)"))

    waiting = [asyncio.ensure_future(slow()) for _ in range(3)]
    sleeping = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"

    async def all_sleep():
        return int(await asyncio.to_thread(servers.primary.sql, sleeping)) == 3

    await eventually(all_sleep)
    await asyncio.to_thread(servers.primary.freeze)
    await asyncio.to_thread(servers.fail_over)
    done, late = await asyncio.wait(waiting, timeout=FOUND_WITHIN_S)
    assert not late
    for task in done:
        with pytest.raises(DBAPIError):
            task.result()


async def test_a_commit_under_way_on_a_frozen_primary_is_unknown(db, servers):
    await asyncio.to_thread(servers.synchronous, "nobody")
    owner = uuid7()
    writing = asyncio.ensure_future(write(db, owner))
    waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"

    async def committing():
        return int(await asyncio.to_thread(servers.primary.sql, waits))

    await eventually(committing)
    await asyncio.to_thread(servers.primary.freeze)
    await asyncio.to_thread(servers.fail_over)
    with pytest.raises(CommitUnknownError):
        await asyncio.wait_for(writing, FOUND_WITHIN_S)


async def test_a_commit_whose_wait_for_a_replica_was_cancelled_is_unknown(db, servers):
    await asyncio.to_thread(servers.synchronous, "nobody")
    with request_of(Seen()) as seen:
        writing = asyncio.ensure_future(write(db, uuid7()))
        cancel = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"

        async def cancelled():
            return await asyncio.to_thread(servers.primary.sql, cancel)

        await eventually(cancelled)
        with pytest.raises(CommitUnknownError):
            await writing
    del seen


async def test_a_server_that_became_a_replica_is_not_written_to(db, servers):
    topology = db._home.topology
    replica = topology._replicas[0]
    topology.primary = replica
    owner = uuid7()
    await write(db, owner)
    assert await count(db, owner) == 1
    assert topology.primary is not replica


async def test_the_directory_may_be_wrong_about_who_is_the_primary(
    directory, db, servers, monkeypatch
):
    monkeypatch.setattr(
        "millions.sdk.topology.FIRST_LOOK_S", 30.0
    )  # all answer before one is believed
    monkeypatch.setattr("millions.sdk.watch.CONNECT_LIMIT_S", 30.0)
    await asyncio.to_thread(servers.fail_over)
    other = Database(settle_s=SETTLE_S)
    await other.open(directory)  # it names the former primary, which still says that it is one
    assert await port(other, uuid7()) == servers.primary.port
    await other.close()


async def test_without_any_primary_a_block_says_so_in_time(directory, servers):
    db = Database(hold_s=0.5)
    await db.open(directory)
    await asyncio.to_thread(servers.primary.kill)
    began_s = time.monotonic()
    with pytest.raises(UnavailableError, match="begin a transaction on s0"):
        await write(db, uuid7())
    assert time.monotonic() - began_s < 5
    await db.close()


async def test_reads_go_on_without_a_primary(db, servers):
    await asyncio.to_thread(servers.primary.kill)
    with request_of(Seen()):
        for _ in range(10):
            await count(db, uuid7())


async def test_reads_go_on_without_replicas(db, servers):
    owner = uuid7()
    with request_of(Seen()):
        await write(db, owner)
        for member in list(servers.replicas()):
            assert await count(db, owner) == 1
            await asyncio.to_thread(member.kill)
            assert await asyncio.gather(*(count(db, owner) for _ in range(6))) == [1] * 6
        assert await port(db, owner) == servers.primary.port


async def test_a_process_goes_on_while_a_read_finds_neither_replica_nor_primary(db, servers):
    """The replicas die while the primary is about to change, as in a move that is undone."""
    topology = db._home.topology
    held_at_release = []

    def release():
        held_at_release.append(topology.held)
        topology.hold(wanted=False)

    with request_of(Seen()):
        await asyncio.gather(*(port(db, uuid7()) for _ in range(10)))  # connections are open
        topology.hold(wanted=True)
        for member in servers.replicas():
            member.kill()  # blocks, so that the read begins before the watches know
        asyncio.get_running_loop().call_later(0.2, release)
        assert await port(db, uuid7()) == servers.primary.port
    assert held_at_release == [True]


async def test_a_frozen_replica_is_left_alone_after_a_moment(db, servers):
    frozen = servers.replicas()[0]
    with request_of(Seen()):
        await port(db, uuid7())
        await asyncio.to_thread(frozen.freeze)
        await eventually(
            lambda: len(db._home.topology._replicas) == 1, within_s=10, saying="it is left alone"
        )
        assert frozen.port not in await asyncio.gather(*(port(db, uuid7()) for _ in range(6)))


async def test_a_read_that_begins_on_a_frozen_replica_goes_elsewhere(db, servers):
    with request_of(Seen()):
        await asyncio.gather(*(port(db, uuid7()) for _ in range(10)))  # connections are open
        await asyncio.to_thread(servers.replicas()[0].freeze)
        began_s = time.monotonic()
        await asyncio.gather(*(port(db, uuid7()) for _ in range(10)))
    assert time.monotonic() - began_s < 8


async def test_what_waits_on_a_frozen_replica_fails_in_time(db, servers):
    frozen = servers.replicas()[0]

    async def slow():
        while True:
            async with db.read(uuid7()) as session:
                if await session.scalar(text("SELECT inet_server_port()")) == frozen.port:
                    await session.execute(text("SELECT pg_sleep(30)"))

    with request_of(Seen()):
        waiting = asyncio.ensure_future(slow())
    sleeping = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"

    async def sleeps():
        return int(await asyncio.to_thread(frozen.sql, sleeping))

    await eventually(sleeps)
    await asyncio.to_thread(frozen.freeze)
    with pytest.raises(DBAPIError):
        await asyncio.wait_for(waiting, 10)


async def test_a_user_reads_what_they_wrote_across_a_failover(db, servers):
    await asyncio.to_thread(servers.synchronous)
    owner = uuid7()
    with request_of(Seen()):
        for number in range(1, 4):
            await write(db, owner)
            assert await count(db, owner) == number
        await asyncio.to_thread(servers.primary.kill)
        assert await count(db, owner) == number
        await asyncio.to_thread(servers.fail_over)
        for further in range(number + 1, number + 10):
            await write(db, owner)
            assert await count(db, owner) == further


async def test_a_user_of_the_new_primary_is_not_shown_the_former_one(db, directory, servers):
    """A process that has not found the new primary yet must not answer from the former one."""
    slow = Database(settle_s=SETTLE_S)
    await slow.open(directory)
    await settled(slow)
    former = slow._home.topology.primary
    for watch in slow._home.topology._watches:
        await watch.stop()  # it hears of nothing
    slow._home.topology._replicas = ()
    await asyncio.to_thread(servers.fail_over)

    async def followed():
        return await port(db, uuid7()) == servers.primary.port

    await eventually(followed)
    owner = uuid7()
    with request_of(Seen()):
        await write(db, owner)
        reading = asyncio.ensure_future(count(slow, owner))
        for watch in slow._home.topology._watches:
            watch.start()
        assert await reading == 1
    assert slow._home.topology.primary is not former
    await slow.close()
