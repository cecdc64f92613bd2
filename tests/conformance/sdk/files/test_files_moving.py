"""The laws of moving all files to the bucket and back: proven, undone by nobody, never twice."""

import asyncio
import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import obstore
import obstore.exceptions
import pytest

from millions.directory import Directory
from millions.errors import FileRefusedError
from millions.sdk import files_copying, files_progress
from millions.sdk.files import Files
from millions.sdk.files_bucket import Bucket
from millions.sdk.files_folder import Folder
from millions.sdk.files_place import StoredFile
from millions.sdk.files_servers import Servers
from millions.sdk.files_upload import Staged
from millions.testing import eventually
from millions.testing.seaweed import EmbeddedSeaweed

MOVED_WITHIN_S = 60.0
COUNT = 30
LARGE = 6 * 1024 * 1024


@pytest.fixture
def to_servers(millions_directory: Directory, storage: EmbeddedSeaweed) -> Directory:
    storage.clear()
    folder = Path(millions_directory.files.folder)
    return replace(millions_directory, epoch=2, files=storage.place(folder))


@pytest.fixture
def back(to_servers: Directory) -> Directory:
    place = replace(to_servers.files, servers=(), former=to_servers.files.servers)
    return replace(to_servers, epoch=3, files=place)


async def left(nouns: ModuleType, *, to_servers: bool) -> int | None:
    async with nouns.db.pool().acquire() as connection:
        return await files_progress.unmoved(connection, to_servers=to_servers)


def in_folder(directory: Directory) -> set[str]:
    root = Path(directory.files.folder) / "data"
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


def in_bucket(storage: EmbeddedSeaweed) -> set[str]:
    listed = [each["path"] for few in obstore.list(storage.store(), prefix="data/") for each in few]
    return {each.removeprefix("data/") for each in listed}


async def moved(nouns: ModuleType, *, to_servers: bool) -> None:
    async def all_of_it() -> bool:
        return await left(nouns, to_servers=to_servers) == 0

    await eventually(all_of_it, within_s=MOVED_WITHIN_S)


async def test_all_files_go_to_the_bucket_and_back_and_each_way_is_proven(
    millions_nouns: ModuleType,
    millions_directory: Directory,
    to_servers: Directory,
    back: Directory,
    storage: EmbeddedSeaweed,
) -> None:
    nouns, files = millions_nouns, millions_nouns.files
    content = {f"n-{number % 3}/{number}": os.urandom(3_000) for number in range(COUNT)}
    content["large"] = os.urandom(LARGE)
    for name, each in content.items():
        await files.put(name, each)
    about = {name: await files.about(name) for name in content}
    assert await left(nouns, to_servers=True) is None

    await nouns.follow(to_servers)
    await moved(nouns, to_servers=True)
    assert in_folder(millions_directory) == set()
    assert in_bucket(storage) == set(content)
    assert await left(nouns, to_servers=False) is None

    await nouns.follow(back)
    await moved(nouns, to_servers=False)
    assert in_folder(millions_directory) == set(content)
    for name, each in content.items():
        assert await files.read(name) == each
        assert await files.about(name) == about[name]

    await nouns.follow(replace(millions_directory, epoch=4))
    assert await files.read("large") == content["large"]


async def test_what_is_deleted_and_stored_meanwhile_stays_so(
    millions_nouns: ModuleType, to_servers: Directory, back: Directory
) -> None:
    files = millions_nouns.files
    for way in (to_servers, back):
        for number in range(COUNT):
            await files.put(f"{number}", b"former")
        await millions_nouns.follow(way)

        async def change(number: int) -> None:
            if number % 2:
                await files.put(f"{number}", b"newer")
            else:
                await files.delete(f"{number}")

        await asyncio.gather(*(change(number) for number in reversed(range(COUNT))))
        await moved(millions_nouns, to_servers=way is to_servers)
        for number in range(COUNT):
            if number % 2:
                assert await files.read(f"{number}") == b"newer"
            else:
                with pytest.raises(FileRefusedError, match="no such file"):
                    await files.read(f"{number}")


async def test_nothing_is_copied_while_a_former_write_goes_on(
    millions_nouns: ModuleType, to_servers: Directory
) -> None:
    nouns = millions_nouns
    await nouns.files.put("x", b"1")
    async with nouns.files._guard.writing("y"):  # a write that takes its time
        await nouns.follow(to_servers)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2):
                await moved(nouns, to_servers=True)
        assert in_folder(to_servers) == {"x"}
    await moved(nouns, to_servers=True)
    assert in_folder(to_servers) == set()


async def test_what_a_bucket_holds_otherwise_is_not_taken_for_the_same(
    in_a_bucket: Directory, storage: EmbeddedSeaweed
) -> None:
    noun = Files()
    await noun.open(in_a_bucket)
    await noun.put("x", b"in the bucket")
    place = in_a_bucket.files
    folder, bucket = Folder(place.folder), Bucket(Servers(place, storage.secret))
    await folder.open()
    await files_copying.to_folder(folder, bucket, "x")
    held = await folder.find("x")
    assert held is not None
    assert held.about == await noun.about("x")
    folder.path_of("x").write_bytes(b"not the same ")
    os.utime(folder.path_of("x"), (held.at_s, held.at_s))
    await files_copying.to_folder(folder, bucket, "x")
    assert folder.path_of("x").read_bytes() == b"in the bucket"
    os.utime(folder.path_of("x"), (held.at_s + 1, held.at_s + 1))
    folder.path_of("x").write_bytes(b"newer in folder")
    await files_copying.to_folder(folder, bucket, "x")
    assert folder.path_of("x").read_bytes() == b"newer in folder"
    await noun.close()
    bucket.servers.close()


@pytest.mark.parametrize("way", ["to the bucket", "back"])
async def test_a_copy_that_is_cut_off_leaves_no_file_of_which_nothing_is_known(
    in_a_bucket: Directory, storage: EmbeddedSeaweed, way: str
) -> None:
    place = in_a_bucket.files
    folder, bucket = Folder(place.folder), Bucket(Servers(place, storage.secret))
    await folder.open()
    about = StoredFile(name="x", size=4, content_type="text/css", etag="of the upload")
    staged = Staged(about=about, content=b"a {}")
    await (folder.put(staged) if way == "to the bucket" else bucket.put(staged))
    beside = Path(place.folder) / "about" / "x"
    beside.unlink(missing_ok=True)
    (beside / "in the way").mkdir(parents=True)  # it can be neither written nor removed
    if way == "to the bucket":
        former = await folder.find("x")
        assert former is not None
        await bucket.put(staged, former.at_s + 1)
        with suppress(OSError, obstore.exceptions.BaseError):
            await files_copying.to_bucket(folder, bucket, "x")
    else:
        with pytest.raises(OSError, match="x"):
            await files_copying.to_folder(folder, bucket, "x")
    assert await folder.find("x") is None
    held = await bucket.find("x")
    assert held is not None
    assert held.about == about
    bucket.servers.close()
