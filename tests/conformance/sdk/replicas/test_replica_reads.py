"""A user reads from replicas, what they wrote is always there, and nothing goes back in time."""

from __future__ import annotations

import asyncio
from collections import Counter
from itertools import pairwise

import pytest
from notes import Note, count, port, write
from replica_reading import request_of, settled
from sqlalchemy import text

from millions.sdk import position
from millions.sdk.database import Database
from millions.sdk.identifiers import uuid7
from millions.sdk.position import Seen
from millions.testing import eventually


async def paused(servers, *members):
    for member in members or servers.replicas():
        await asyncio.to_thread(member.pause)


async def test_requests_read_from_both_replicas(db, servers):
    with request_of(Seen()):
        ports = await asyncio.gather(*(port(db, uuid7()) for _ in range(20)))
    assert set(ports) == {each.port for each in servers.replicas()}


async def test_one_after_the_other_they_stay_with_a_replica_for_a_moment(db, servers):
    with request_of(Seen()):
        ports = [await port(db, uuid7()) for _ in range(40)]
        changes = sum(one != other for one, other in pairwise(ports))
        assert changes < 10

        async def on_another_one():
            return await port(db, uuid7()) != ports[-1]

        await eventually(on_another_one, within_s=3)


async def test_without_a_request_the_primary_answers(db, servers):
    assert await port(db, uuid7()) == servers.primary.port


async def test_the_primary_answers_when_it_is_asked_for(db, servers):
    with request_of(Seen()):
        assert await port(db, uuid7(), primary=True) == servers.primary.port


@pytest.mark.parametrize("isolation", [None, "read committed", "repeatable read"])
async def test_a_user_reads_what_they_wrote_while_no_replica_shows_it(db, servers, isolation):
    await paused(servers)
    owner = uuid7()
    with request_of(Seen()):
        for number in range(1, 11):
            await write(db, owner)
            assert await count(db, owner, isolation=isolation) == number
    with request_of(Seen()):
        assert await count(db, owner) == 0, "the replicas do not show it: the test tests nothing"


async def test_what_was_seen_on_the_primary_is_not_unseen_on_a_replica(db, servers):
    await paused(servers)
    owner = uuid7()
    await write(db, owner)  # by nobody's request
    with request_of(Seen()):
        assert await count(db, owner, primary=True) == 1
        assert await count(db, owner) == 1


async def test_what_was_seen_on_one_replica_is_not_unseen_on_another(db, servers):
    ahead, behind = servers.replicas()
    await paused(servers, behind)
    owner = uuid7()
    await write(db, owner)
    await asyncio.to_thread(servers.wait_replayed, ahead)
    found = []
    with request_of(Seen()):
        for _ in range(12):
            db._home.topology._offset += 1  # the other replica's turn
            found.append(await count(db, owner))
    assert 1 in found
    assert found == sorted(found)


async def test_a_user_takes_along_what_they_saw(db, servers):
    await paused(servers)
    owner = uuid7()
    with request_of(Seen()) as seen:
        await write(db, owner)
    with request_of(position.parse(seen.text())):
        assert await count(db, owner) == 1


async def looked_and_failed(db, owner):
    async with db.write(owner) as session:
        assert await session.scalar(text("SELECT count(*) FROM notes")) == 1
        _ = 1 / 0


async def test_what_was_seen_in_a_write_that_failed_counts_as_seen(db, servers):
    await paused(servers)
    owner = uuid7()
    await write(db, owner)
    with request_of(Seen()):
        with pytest.raises(ZeroDivisionError):
            await looked_and_failed(db, owner)
        assert await count(db, owner) == 1


async def test_a_replica_that_caught_up_is_read_from_again(db, servers):
    await paused(servers)
    owner = uuid7()
    with request_of(Seen()):
        await write(db, owner)
        assert await port(db, owner) == servers.primary.port
        for member in servers.replicas():
            await asyncio.to_thread(member.resume)

        async def on_a_replica():
            return await port(db, owner) != servers.primary.port

        await eventually(on_a_replica)
        assert await count(db, owner) == 1


async def test_a_write_whose_place_nobody_learned_is_read_from_the_primary(db, servers):
    await paused(servers)
    owner = uuid7()
    with request_of(Seen()) as seen:
        async with db.write(owner) as session:
            session.add(Note())
            raw = session.sync_session.bind.connection.driver_connection
            place = raw._protocol.query

            async def refused(*arguments):
                if "millions_place" in str(arguments[0]):
                    raise ConnectionResetError
                return await place(*arguments)

            raw._protocol = Spoilt(raw._protocol, refused)
        assert seen.unsure == {"s0"}
        read = position.parse(seen.text())
    with request_of(read):
        assert await count(db, owner) == 1
        assert read.unsure == set(), "the primary has said where it is"
        assert await count(db, owner) == 1


class Spoilt:
    """asyncpg's protocol, whose queries go another way."""

    def __init__(self, protocol, query):
        self._protocol = protocol
        self.query = query

    def __getattr__(self, name):
        return getattr(self._protocol, name)


async def test_a_serializable_read_is_the_primarys(db, servers):
    with request_of(Seen()):
        assert await port(db, uuid7(), isolation="serializable") == servers.primary.port


async def test_nobody_reads_from_replicas_before_every_process_may_know_of_them(directory, servers):
    db = Database(settle_s=30)
    await db.open(directory)
    with request_of(Seen()):
        assert await port(db, uuid7()) == servers.primary.port
    await db.close()


async def test_a_scatter_in_a_request_shows_what_the_user_wrote(db, servers):
    await paused(servers)
    owner = uuid7()
    with request_of(Seen()):
        await write(db, owner)
        rows = await db.scatter(Note.__table__.select())
    assert len(rows) == 1


async def test_a_long_time_of_writing_and_reading_shows_nothing_old(db, servers):
    """Under load, users on both replicas and the primary: each reads its own writes, in order."""
    reads: Counter[int] = Counter()

    async def user(number):
        owner, cookie = uuid7(), ""
        for written in range(1, 31):
            with request_of(position.parse(cookie)) as seen:
                await write(db, owner)
                cookie = seen.text()
            for _ in range(4):
                with request_of(position.parse(cookie)) as seen:
                    assert await count(db, owner) == written
                    reads[await port(db, owner)] += 1
                    cookie = seen.text()

    await asyncio.gather(*(user(number) for number in range(8)))
    assert reads.keys() >= {each.port for each in servers.replicas()}


async def test_a_replica_far_behind_is_asked_by_nobody(db, servers, monkeypatch):
    monkeypatch.setattr("millions.sdk.topology.LAG_MAX_S", 0.3)
    await settled(db)
    behind, ahead = servers.replicas()
    await paused(servers, behind)
    await write(db, uuid7())

    async def only_ahead():
        with request_of(Seen()):
            ports = await asyncio.gather(*(port(db, uuid7()) for _ in range(6)))
        return set(ports) == {ahead.port}

    await eventually(only_ahead)
