"""The laws of the change from the folder to the bucket: both serve, the newer version counts."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from millions.directory import Directory, Endpoint
from millions.errors import FileRefusedError
from millions.sdk.files import Files
from millions.testing import eventually
from millions.testing.postgres import HOST, free_port

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
        await late.put("x", b"second, by who has not")
        assert await early.read("x") == b"second, by who has not"
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
