"""The only server of a shard may be a standby for a moment after its restart: writes wait."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from notes import Note, count, write

from millions.directory import Endpoint
from millions.errors import UnavailableError
from millions.sdk.database import Database
from millions.sdk.identifiers import uuid7
from millions.testing.postgres import HOST

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import asyncpg

    from millions.directory import Directory
    from millions.testing.streaming import Member, StreamingPostgres


@pytest.fixture
def standby(servers: StreamingPostgres) -> Member:
    return servers.replicas()[0]


@pytest.fixture
def alone(directory: Directory, standby: Member) -> Directory:
    """A directory that names nothing but the standby, as that of a member that is left alone."""
    (shard,) = directory.database.shards
    endpoint = Endpoint(host=HOST, port=standby.port)
    shard = dataclasses.replace(shard, primary=endpoint, replicas=())
    place = dataclasses.replace(directory.database, shards=(shard,))
    return dataclasses.replace(directory, database=place)


@pytest_asyncio.fixture(loop_scope="session")
async def lone(alone: Directory) -> AsyncIterator[Database]:
    database = Database(hold_s=20)
    await database.open(alone)
    yield database
    await database.close()


async def test_a_block_that_writes_begins_once_the_only_server_takes_writes(
    lone: Database, servers: StreamingPostgres, standby: Member
) -> None:
    owner = uuid7()
    waiting = [asyncio.create_task(write(lone, owner)) for _ in range(4)]

    async def work(session):
        session.add(Note(words="run"))

    waiting.append(asyncio.create_task(lone.run(owner, work)))
    done, _ = await asyncio.wait(waiting, timeout=0.5)
    assert not done
    assert await count(lone, owner) == 0, "what only reads need not wait"
    await asyncio.to_thread(servers.promote, standby)
    await asyncio.gather(*waiting)
    assert await count(lone, owner) == 5


async def test_an_isolation_level_changes_nothing_of_it(
    lone: Database, servers: StreamingPostgres, standby: Member
) -> None:
    async def serializable():
        async with lone.write(uuid7(), isolation="serializable") as session:
            session.add(Note(words="a"))

    waiting = asyncio.create_task(serializable())
    done, _ = await asyncio.wait([waiting], timeout=0.5)
    assert not done
    await asyncio.to_thread(servers.promote, standby)
    await waiting


async def test_a_server_that_stays_a_standby_is_told_of_in_time(alone: Directory) -> None:
    db = Database(hold_s=0.5)
    await db.open(alone)
    with pytest.raises(UnavailableError, match="begin a transaction on s0"):
        await write(db, uuid7())
    await db.close()


async def test_a_raw_connection_is_not_given_before_the_only_server_takes_writes(
    lone: Database, servers: StreamingPostgres, standby: Member
) -> None:
    with pytest.raises(ConnectionError):
        await lone._home.connect()
    await asyncio.to_thread(servers.promote, standby)
    connection: asyncpg.Connection = await lone._home.connect()
    try:
        assert await connection.fetchval("SELECT pg_is_in_recovery()") is False
    finally:
        await connection.close()
