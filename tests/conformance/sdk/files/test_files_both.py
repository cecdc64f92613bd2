"""The laws of the change from the folder to the bucket: both serve, the newer version counts."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from millions.directory import Directory, Endpoint
from millions.errors import FileRefusedError
from millions.runtime.ports import free_port
from millions.sdk import files_copying
from millions.sdk.files import Files
from millions.sdk.files_bucket import Bucket
from millions.sdk.files_folder import Folder
from millions.sdk.files_servers import Servers
from millions.testing import eventually
from millions.testing.postgres import HOST

CHANGED_WITHIN_S = 20.0


def in_folder(directory: Directory, name: str) -> bool:
    return (Path(directory.files.folder) / "data" / name).exists()


@asynccontextmanager
async def opened(directory: Directory) -> AsyncIterator[Files]:
    files = Files()
    await files.open(directory)
    yield files
    await files.close()


def without_answer(directory: Directory) -> Directory:
    """The storage is announced, and nobody is there yet."""
    nobody = (Endpoint(host=HOST, port=free_port()),)
    return replace(directory, files=replace(directory.files, servers=nobody))


def leaving(directory: Directory) -> Directory:
    """The same storage, from which files go back."""
    place = replace(directory.files, servers=(), former=directory.files.servers)
    return replace(directory, epoch=directory.epoch + 1, files=place)


async def test_what_was_in_the_folder_is_read_and_what_is_new_goes_to_the_bucket(
    in_a_folder: Directory, in_a_bucket: Directory
) -> None:
    async with opened(in_a_folder) as files:
        await files.put("old", b"in the folder")
    async with opened(in_a_bucket) as files:
        assert await files.read("old") == b"in the folder"
        await files.put("new", b"in the bucket")
        assert not in_folder(in_a_folder, "new")
        await files.put("old", b"again")
        assert await files.read("old") == b"again"


async def test_until_the_bucket_has_answered_the_folder_serves_and_takes_files(
    in_a_folder: Directory, in_a_bucket: Directory
) -> None:
    async with opened(in_a_folder) as files:
        await files.put("before", b"1")
        await files.follow(without_answer(in_a_bucket))
        await files.put("early", b"2")
        assert in_folder(in_a_folder, "early")
        assert (await files.read("before"), await files.read("early")) == (b"1", b"2")

        await files.follow(in_a_bucket)

        numbers = count()

        async def goes_to_the_bucket() -> bool:
            name = f"late/{next(numbers)}"
            await files.put(name, b"3")
            return not in_folder(in_a_folder, name)

        await eventually(goes_to_the_bucket, within_s=CHANGED_WITHIN_S)
        for number in range(next(numbers)):
            assert await files.read(f"late/{number}") == b"3"
        assert await files.read("early") == b"2"


async def test_of_two_versions_the_newer_one_counts_whichever_place_it_is_in(
    in_a_folder: Directory, in_a_bucket: Directory
) -> None:
    async with opened(in_a_folder) as late, opened(in_a_bucket) as early:
        await early.put("x", b"first, by who has changed already")
        await late.follow(without_answer(in_a_bucket))
        await late.put("x", b"second, by who waits for the bucket")
        assert in_folder(in_a_folder, "x")
        assert await early.read("x") == b"second, by who waits for the bucket"
        await early.put("x", b"third")
        assert await early.read("x") == b"third"


async def test_a_deleted_file_is_gone_from_both(
    in_a_folder: Directory, in_a_bucket: Directory
) -> None:
    async with opened(in_a_folder) as files:
        await files.put("x", b"in the folder")
    async with opened(in_a_bucket) as files:
        await files.put("x", b"in the bucket")
        assert await files.delete("x")
        with pytest.raises(FileRefusedError, match="no such file"):
            await files.read("x")
        assert not await files.delete("x")
        assert not in_folder(in_a_folder, "x")


def servers(directory: Directory) -> Servers:
    place = directory.files
    return Servers(place, Path(place.secret_file).read_text())


async def test_who_has_not_heard_of_a_change_waits_instead_of_writing_where_nobody_looks(
    in_a_folder: Directory, in_a_bucket: Directory
) -> None:
    async with opened(in_a_folder) as late, opened(in_a_bucket) as early:
        await early.put("y", b"in the bucket")
        write = asyncio.create_task(late.put("x", b"1"))
        read = asyncio.create_task(late.read("y"))
        await asyncio.sleep(0.3)
        assert not write.done()
        assert not read.done()
        await late.follow(in_a_bucket)
        await write
        assert await read == b"in the bucket"


async def test_on_the_way_back_new_files_go_to_the_folder_and_a_deletion_reaches_both(
    in_a_bucket: Directory,
) -> None:
    async with opened(in_a_bucket) as files:
        await files.put("old", b"1")
        await files.put("gone", b"2")
        await files.follow(leaving(in_a_bucket))
        assert await files.read("old") == b"1"
        await files.put("old", b"3")
        await files.put("gone", b"4")
        assert in_folder(in_a_bucket, "old")
        assert await files.delete("gone")
    async with opened(leaving(in_a_bucket)) as files:
        assert await files.read("old") == b"3"
        with pytest.raises(FileRefusedError, match="no such file"):
            await files.read("gone")


async def test_a_reader_goes_on_when_its_file_has_moved_meanwhile(
    in_a_folder: Directory, in_a_bucket: Directory
) -> None:
    content = os.urandom(3 * 1024 * 1024)
    async with opened(in_a_folder) as files:
        await files.put("x", content)
        reader = aiter(await files.get("x"))
        first = await anext(reader)
        await files.follow(in_a_bucket)
        folder, bucket = Folder(in_a_folder.files.folder), Bucket(servers(in_a_bucket))
        await folder.open()
        await files_copying.to_bucket(folder, bucket, "x")
        bucket.servers.close()
        assert not in_folder(in_a_folder, "x")
        assert first + b"".join([chunk async for chunk in reader]) == content
