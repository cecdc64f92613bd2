"""The laws of the folder form: what crashes leave in it does no harm."""

import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from millions.directory import Directory
from millions.errors import MachineError
from millions.sdk.files import Files
from millions.sdk.files_types import RefusedError

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4


@pytest.fixture
async def folder_files(in_a_folder: Directory) -> AsyncIterator[Files]:
    opened = Files()
    await opened.open(in_a_folder)
    yield opened
    await opened.close()


async def test_what_a_crash_left_between_two_writes_is_found_out_anew(
    folder_files: Files, in_a_folder: Directory
) -> None:
    await folder_files.put("x.png", PNG)
    about = Path(in_a_folder.files.folder) / "about" / "x.png"
    for damage in (
        b"",
        b"{half",
        b'{"name":"x.png","size":1,"content_type":"text/html","etag":""}',
    ):
        about.write_bytes(damage)
        found = await folder_files.about("x.png")
        assert (found.size, found.content_type) == (len(PNG), "image/png")
        assert await folder_files.read("x.png") == PNG
    about.unlink()
    assert (await folder_files.about("x.png")).content_type == "image/png"


async def test_what_crashes_left_half_written_is_swept_at_the_next_start(
    in_a_folder: Directory,
) -> None:
    staging = Path(in_a_folder.files.folder) / "staging"
    staging.mkdir()
    for name, age_s in (("old", 2 * 86_400), ("new", 60)):
        (staging / name).write_bytes(b"half")
        os.utime(staging / name, (time.time() - age_s,) * 2)
    files = Files()
    await files.open(in_a_folder)
    assert [each.name for each in staging.iterdir()] == ["new"]


async def test_a_folder_that_cannot_be_written_says_so(
    folder_files: Files, in_a_folder: Directory
) -> None:
    (Path(in_a_folder.files.folder) / "data").write_bytes(b"a file stands in the way")
    with pytest.raises(MachineError, match="store x"):
        await folder_files.put("x", b"1")


async def test_a_name_below_a_file_is_not_there_and_is_refused(
    folder_files: Files, in_a_folder: Directory
) -> None:
    await folder_files.put("a", b"1")
    await folder_files.put("b/c", b"2")
    for name in ("a/x", "b"):
        with pytest.raises(RefusedError, match="store") as refused:
            await folder_files.put(name, b"3")
        assert refused.value.status == 409
        with pytest.raises(RefusedError, match="no such file"):
            await folder_files.read(name)
        assert not await folder_files.delete(name)
    assert (await folder_files.read("a"), await folder_files.read("b/c")) == (b"1", b"2")
    assert not list((Path(in_a_folder.files.folder) / "staging").iterdir())
