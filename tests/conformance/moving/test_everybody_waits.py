"""Who is about to stop a server sees in it that every process waits, and that none begins."""

import asyncio
import dataclasses
import secrets
import struct
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio
from sqlalchemy import text

from millions.cli.moving import servers
from millions.directory import Directory
from millions.sdk import nouns
from millions.sdk.topology import HELD_LIMIT_S
from millions.testing import eventually
from millions.testing.postgres import HOST, EmbeddedPostgres

CALM_S = 2.0


@pytest.fixture(scope="module")
def millions_postgres(millions_folder: Path) -> Iterator[EmbeddedPostgres]:
    """A server of its own: processes of other tests have nothing to wait for."""
    server = EmbeddedPostgres(millions_folder / f"waits-{secrets.token_hex(4)}")
    try:
        yield server.start()
    finally:
        server.remove()


@pytest_asyncio.fixture
async def asking(millions_postgres: EmbeddedPostgres) -> AsyncIterator[asyncpg.Connection]:
    """The connection of who is about to restart the server."""
    password = millions_postgres.password_file.read_text()
    connection = await asyncpg.connect(
        host=HOST, port=millions_postgres.port, user="app", password=password, database="postgres"
    )
    yield connection
    await connection.close()


def held(directory: Directory) -> Directory:
    place = directory.database
    shards = tuple(dataclasses.replace(each, held=True) for each in place.shards)
    place = dataclasses.replace(place, shards=shards)
    return dataclasses.replace(directory, epoch=2, database=place)


async def one() -> int | None:
    async with nouns.db.write("ann") as session:
        return await session.scalar(text("SELECT 1"))


async def test_a_process_has_heard_only_when_it_says_so(
    millions_directory: Directory, asking: asyncpg.Connection
) -> None:
    async with nouns.running(millions_directory):
        assert await one() == 1
        assert not await servers.all_heard(asking)
        await nouns.follow(held(millions_directory))
        await eventually(lambda: servers.all_heard(asking), within_s=5)
        await nouns.follow(dataclasses.replace(millions_directory, epoch=3))
        await eventually(lambda: not_heard(asking), within_s=5)
    await eventually(lambda: servers.all_heard(asking), within_s=5)


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
        await eventually(lambda: not_calm(asking), within_s=10)
    finally:
        writer.close()


async def not_calm(asking: asyncpg.Connection) -> bool:
    return not await servers.is_calm(asking, CALM_S)


async def test_blocks_go_on_as_soon_as_the_server_was_restarted(
    millions_directory: Directory, millions_postgres: EmbeddedPostgres
) -> None:
    async with nouns.running(millions_directory):
        assert await one() == 1
        await nouns.follow(held(millions_directory))
        waiting = asyncio.create_task(one())
        done, _ = await asyncio.wait([waiting], timeout=0.5)
        assert not done
        await asyncio.to_thread(millions_postgres.stop)
        await asyncio.to_thread(millions_postgres.start)
        assert await asyncio.wait_for(waiting, HELD_LIMIT_S / 2) == 1
        assert await one() == 1
