"""Blocks on the only server wait while its restart is near, and go on when it is over."""

import asyncio
import dataclasses
import struct
from collections.abc import AsyncIterator

import asyncpg
import pytest
from sqlalchemy import text

from millions.cli.moving import servers
from millions.directory import Directory
from millions.sdk import nouns
from millions.testing import eventually
from millions.testing.postgres import HOST, EmbeddedPostgres

CALM_S = 0.3
TIMES = 400
STEP_S, STEPS = 0.0001, 130


def held(directory: Directory, *, epoch: int) -> Directory:
    place = directory.database
    shards = tuple(dataclasses.replace(each, held=True) for each in place.shards)
    place = dataclasses.replace(place, shards=shards)
    return dataclasses.replace(directory, epoch=epoch, database=place)


async def one() -> int | None:
    async with nouns.db.write("ann") as session:
        return await session.scalar(text("SELECT 1"))


async def test_a_block_begins_once_the_only_server_is_held_no_more(
    millions_directory: Directory,
) -> None:
    async with nouns.running(millions_directory):
        assert await one() == 1
        await nouns.follow(held(millions_directory, epoch=2))
        begun = asyncio.create_task(one())
        done, _ = await asyncio.wait([begun], timeout=0.5)
        assert not done
        await nouns.follow(dataclasses.replace(millions_directory, epoch=3))
        assert await asyncio.wait_for(begun, 5) == 1
        assert await one() == 1


async def test_a_block_that_began_before_ends_as_ever(millions_directory: Directory) -> None:
    async with nouns.running(millions_directory), nouns.db.write("ann") as session:
        assert await session.scalar(text("SELECT 1")) == 1
        await nouns.follow(held(millions_directory, epoch=2))
        assert await session.scalar(text("SELECT 2")) == 2


async def test_a_block_that_waits_for_a_connection_meanwhile_does_not_begin(
    millions_directory: Directory,
) -> None:
    place = dataclasses.replace(millions_directory.database, pool_size=1)
    directory = dataclasses.replace(millions_directory, database=place)
    async with nouns.running(directory):
        async with nouns.db.write("ann") as session:
            await session.scalar(text("SELECT 1"))
            waiting = asyncio.create_task(one())
            await asyncio.sleep(0.1)
            await nouns.follow(held(directory, epoch=2))
        done, _ = await asyncio.wait([waiting], timeout=0.5)
        assert not done
        await nouns.follow(dataclasses.replace(directory, epoch=3))
        assert await asyncio.wait_for(waiting, 5) == 1


@pytest.fixture
async def asking(millions_postgres: EmbeddedPostgres) -> AsyncIterator[asyncpg.Connection]:
    """The connection of who is about to restart the server."""
    password = millions_postgres.password_file.read_text()
    connection = await asyncpg.connect(
        host=HOST, port=millions_postgres.port, user="app", password=password, database="postgres"
    )
    yield connection
    await connection.close()


async def test_a_process_has_heard_only_when_it_says_so(
    millions_directory: Directory, asking: asyncpg.Connection
) -> None:
    async with nouns.running(millions_directory):
        assert await one() == 1
        assert not await servers.all_heard(asking)
        await nouns.follow(held(millions_directory, epoch=2))
        await eventually(lambda: servers.all_heard(asking), within_s=5)
        await nouns.follow(dataclasses.replace(millions_directory, epoch=3))
        await eventually(lambda: not_heard(asking), within_s=5)
    assert await servers.all_heard(asking)


async def not_heard(asking: asyncpg.Connection) -> bool:
    return not await servers.all_heard(asking)


async def test_it_is_not_calm_while_somebody_connects(
    millions_postgres: EmbeddedPostgres, asking: asyncpg.Connection
) -> None:
    await asking.execute("SET application_name TO 'asking watch'")  # this one does not count
    await eventually(lambda: servers.is_calm(asking, CALM_S))
    _, writer = await asyncio.open_connection(HOST, millions_postgres.port)
    try:
        settings = b"user\0app\0database\0postgres\0\0"
        writer.write(struct.pack("!ii", 8 + len(settings), 196608) + settings)
        await eventually(lambda: not_calm(asking), within_s=CALM_S / 2)
    finally:
        writer.close()


async def not_calm(asking: asyncpg.Connection) -> bool:
    return not await servers.is_calm(asking, CALM_S)


async def test_a_block_goes_on_however_often_it_is_held_meanwhile(
    millions_directory: Directory,
) -> None:
    async with nouns.running(millions_directory), nouns.db.write("ann") as session:
        for number in range(TIMES):
            await nouns.follow(held(millions_directory, epoch=2))
            await asyncio.sleep(number % STEPS * STEP_S)  # when a watch may hear
            await nouns.follow(millions_directory)
            assert await session.scalar(text("SELECT 1")) == 1
