"""A web process that is killed while it moves a file must lose none, and another must go on."""

from __future__ import annotations

import os
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING

import asyncpg
import obstore
import pytest
from webs import Reading, Webs

from millions.errors import MachineError
from millions.sdk import files_progress
from millions.sdk.files import Files
from millions.testing import EmbeddedPostgres, directory_for, eventually
from millions.testing.postgres import HOST
from millions.testing.seaweed import EmbeddedSeaweed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from millions.directory import Directory
    from millions.sdk.files_place import StoredFile

pytestmark = pytest.mark.timeout(240)

MOVED_WITHIN_S = 90.0
SMALL, LARGE = 30, 10
LARGE_BYTES = 6 * 1024 * 1024
LINE = b"line\n"


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[EmbeddedSeaweed]:
    """S3 storage. Skips where there is none, fails in CI."""
    server = EmbeddedSeaweed(tmp_path)
    try:
        server.start()
    except MachineError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    yield server
    server.stop()


@pytest.fixture
async def webs(millions_postgres: EmbeddedPostgres, millions_folder: Path) -> AsyncIterator[Webs]:
    """Three web processes whose files are in a folder."""
    root = millions_folder / f"webs-{secrets.token_hex(4)}"
    directory = directory_for(millions_postgres.create_database(root.name), root)
    made = Webs(root=root, directory=directory)
    made.announce(directory)
    try:
        await made.start(3)
        yield made
    finally:
        made.stop()
        millions_postgres.drop_database(root.name)


@pytest.fixture
async def connection(
    webs: Webs, millions_postgres: EmbeddedPostgres
) -> AsyncIterator[asyncpg.Connection]:
    opened = await asyncpg.connect(
        host=HOST,
        port=millions_postgres.port,
        user="app",
        password=millions_postgres.password_file.read_text(),
        database=webs.root.name,
    )
    yield opened
    await opened.close()


async def fill(webs: Webs) -> None:
    """Store small files, whose content proves no type, and large ones, which take a while."""
    for number in range(SMALL):
        await webs.put(f"n-{number % 4}/{number}", f"{number}\n".encode() * 500)
    for number in range(LARGE):
        await webs.put(f"large/{number}", LINE + os.urandom(LARGE_BYTES))


def in_folder(webs: Webs) -> set[str]:
    root = webs.folder / "data"
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


def in_bucket(storage: EmbeddedSeaweed) -> set[str]:
    found = obstore.list(storage.store(), prefix="data/")
    return {each["path"].removeprefix("data/") for few in found for each in few}


async def abouts(webs: Webs) -> list[StoredFile]:
    """What is known of each file, as a process has it that begins now."""
    files = Files()
    await files.open(webs.directory)
    try:
        return [await files.about(name) for name in sorted(webs.content)]
    finally:
        await files.close()


async def all_moved(connection: asyncpg.Connection, *, to_servers: bool) -> None:
    async def all_of_it() -> bool:
        return await files_progress.unmoved(connection, to_servers=to_servers) == 0

    await eventually(all_of_it, within_s=MOVED_WITHIN_S)


def to_servers(directory: Directory, storage: EmbeddedSeaweed) -> Directory:
    return replace(directory, epoch=2, files=storage.place(directory.files.folder))


def back(directory: Directory) -> Directory:
    place = replace(directory.files, servers=(), former=directory.files.servers)
    return replace(directory, epoch=3, files=place)


async def test_files_reach_the_servers_when_who_moves_them_is_killed_in_the_middle_of_one(
    webs: Webs, connection: asyncpg.Connection, storage: EmbeddedSeaweed
) -> None:
    await fill(webs)
    known = await abouts(webs)

    def is_in_the_middle(name: str, *, is_sent: bool) -> bool:
        left, there = in_folder(webs), in_bucket(storage)
        return (
            name in left and (name in there) is is_sent and bool(there - {name}) and len(left) > 1
        )

    async with Reading(webs) as reading:
        webs.announce(to_servers(webs.directory, storage))
        for is_sent in (False, True):
            web, name = await webs.frozen_while(
                connection, lambda name, is_sent=is_sent: is_in_the_middle(name, is_sent=is_sent)
            )
            webs.kill(web)
            assert in_folder(webs) >= {name}
        assert await files_progress.unmoved(connection, to_servers=True) != 0
        await all_moved(connection, to_servers=True)
    assert reading.failed == []
    assert reading.count > len(webs.content)
    assert in_folder(webs) == set()
    assert in_bucket(storage) == set(webs.content)
    assert await abouts(webs) == known
    assert await webs.differing() == []


async def test_files_reach_the_folder_when_who_moves_them_back_is_killed_in_the_middle_of_one(
    webs: Webs, connection: asyncpg.Connection, storage: EmbeddedSeaweed
) -> None:
    webs.announce(to_servers(webs.directory, storage))
    await fill(webs)
    await all_moved(connection, to_servers=True)
    known = await abouts(webs)
    assert in_folder(webs) == set()

    def is_in_the_middle(name: str, *, is_there: bool) -> bool:
        there = in_folder(webs)
        return (name in there) is is_there and 1 < len(there | {name}) < len(webs.content)

    async with Reading(webs) as reading:
        webs.announce(back(webs.directory))
        for is_there in (False, True):
            web, name = await webs.frozen_while(
                connection,
                lambda name, is_there=is_there: is_in_the_middle(name, is_there=is_there),
            )
            assert name not in await files_progress.among(connection, [name])
            webs.kill(web)
        assert await files_progress.unmoved(connection, to_servers=False) != 0
        await all_moved(connection, to_servers=False)
    assert reading.failed == []
    assert reading.count > len(webs.content)
    assert in_folder(webs) == set(webs.content)
    assert await abouts(webs) == known
    storage.stop()
    assert await webs.differing() == []
