"""`db`, open on a clean database with the tables of `album`; and a server that may be harmed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from album import Base
from database_doors import raw

from millions.sdk.database import Database
from millions.testing import EmbeddedPostgres, directory_for

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    import asyncpg

    from millions.directory import Directory


async def create_tables(directory: Directory) -> None:
    db = Database()
    await db.open(directory)
    async with db._home.primary.engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    await db.close()


@pytest.fixture(scope="session")
def millions_prepare():
    return create_tables


@pytest_asyncio.fixture(loop_scope="session")
async def db(millions_directory: Directory) -> AsyncIterator[Database]:
    database = Database()
    await database.open(millions_directory)
    yield database
    await database.close()


@pytest_asyncio.fixture(loop_scope="session")
async def witness(millions_directory: Directory) -> AsyncIterator[asyncpg.Connection[Any]]:
    connection = await raw(millions_directory)
    yield connection
    await connection.close()


@pytest.fixture(scope="module")
def fragile_server(millions_folder: Path) -> Iterator[EmbeddedPostgres]:
    """A server that only this module uses, so that it may be stopped, killed and misconfigured."""
    server = EmbeddedPostgres(millions_folder / "fragile").start()
    yield server
    server.remove()


@pytest_asyncio.fixture(loop_scope="session")
async def fragile(fragile_server: EmbeddedPostgres, tmp_path: Path) -> AsyncIterator[Directory]:
    """A directory of a clean database on the fragile server."""
    name = f"fragile_{tmp_path.name[-40:].replace('-', '_')}".lower()
    directory = directory_for(fragile_server.create_database(name), tmp_path / "stack")
    await create_tables(directory)
    yield directory
    if fragile_server.process is None:
        fragile_server.start()
    fragile_server.drop_database(name)
