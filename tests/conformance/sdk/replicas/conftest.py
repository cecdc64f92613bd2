"""`db` on a primary and two standbys, which each test may harm: they are mended after it."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from notes import Base
from replica_reading import SETTLE_S, settled

from millions.errors import MachineError
from millions.sdk.database import Database
from millions.testing import directory_for
from millions.testing.streaming import StreamingPostgres

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from millions.directory import Directory


@pytest.fixture(scope="session")
def servers_of_session(millions_folder: Path) -> Iterator[StreamingPostgres]:
    servers = StreamingPostgres(millions_folder / "replicated")
    try:
        servers.start()
    except MachineError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    try:
        yield servers
    finally:
        servers.remove()


@pytest_asyncio.fixture(loop_scope="session")
async def servers(servers_of_session: StreamingPostgres) -> AsyncIterator[StreamingPostgres]:
    """Mended after the test, whatever it did."""
    yield servers_of_session
    await asyncio.to_thread(servers_of_session.restore)


@pytest_asyncio.fixture(loop_scope="session")
async def directory(servers: StreamingPostgres, tmp_path: Path) -> Directory:
    """The directory of a clean database with the tables of `notes`."""
    name = f"db_{os.urandom(4).hex()}"
    place = await asyncio.to_thread(servers.create_database, name)
    found = directory_for(place, tmp_path / "stack")
    made = Database(settle_s=SETTLE_S)
    await made.open(found)
    primary = made._home.primary
    assert primary is not None
    async with primary.engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    await made.close()
    await asyncio.to_thread(servers.wait_replayed)
    return found


@pytest_asyncio.fixture(loop_scope="session")
async def db(directory: Directory) -> AsyncIterator[Database]:
    """Open, and so far that replicas are read from."""
    database = Database(settle_s=SETTLE_S, hold_s=20)
    await database.open(directory)
    await settled(database)
    yield database
    await database.close()
