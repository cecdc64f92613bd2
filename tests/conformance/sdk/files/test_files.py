"""The laws of `files`: whole or not at all, by content and not by claim, for whom it is meant."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable

import pytest

from millions.directory import Directory
from millions.errors import FileRefusedError, SignatureError, UnavailableError
from millions.sdk.files import Files
from millions.sdk.files_types import RefusedError

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4
MIB = 1024 * 1024
Sizes = Callable[[], dict[str, int]]


async def chunks(*given: bytes) -> AsyncIterator[bytes]:
    for each in given:
        await asyncio.sleep(0)
        yield each


async def test_what_was_stored_is_read_again(files: Files) -> None:
    stored = await files.put("a/b/photo.png", PNG)
    assert (stored.size, stored.content_type) == (len(PNG), "image/png")
    assert await files.read("a/b/photo.png") == PNG
    assert await files.about("a/b/photo.png") == stored


async def test_a_stream_is_stored_as_its_bytes(files: Files) -> None:
    pieces = [os.urandom(700_000) for _ in range(8)]
    stored = await files.put("big", chunks(b"\0", *pieces))
    assert stored.size == 1 + 8 * 700_000
    assert await files.read("big") == b"\0" + b"".join(pieces)
    small = await files.put("small", chunks(b"", b"ab", b"", b"c"))
    assert (small.size, await files.read("small")) == (3, b"abc")


async def test_equal_content_has_an_equal_tag_however_it_came(files: Files) -> None:
    whole = await files.put("one", PNG * 3000)
    pieces = await files.put("two", chunks(*[PNG] * 3000))
    other = await files.put("three", PNG)
    assert whole.etag == pieces.etag != other.etag


async def test_a_part_is_read_without_the_rest(files: Files) -> None:
    await files.put("digits", b"0123456789" * 300_000)
    reader = await files.get("digits", span=(5, 2_500_008))
    read = b"".join([chunk async for chunk in reader])
    assert (len(read), read[:6], read[-3:]) == (2_500_003, b"567890", b"567")
    assert reader.size == 3_000_000


async def test_a_file_is_replaced_whole(files: Files) -> None:
    await files.put("x", b"the first")
    first = await files.about("x")
    await files.put("x", b"second!!!")
    assert await files.read("x") == b"second!!!"
    assert (await files.about("x")).etag != first.etag


async def test_a_deleted_file_is_gone(files: Files) -> None:
    await files.put("x", b"1")
    assert await files.delete("x")
    assert not await files.delete("x")
    with pytest.raises(FileRefusedError, match="no such file"):
        await files.read("x")


async def test_an_upload_that_breaks_off_leaves_the_former_file(files: Files, sizes: Sizes) -> None:
    await files.put("x", b"former")

    async def broken() -> AsyncIterator[bytes]:
        yield b"a" * 3 * MIB
        raise ConnectionResetError("the client left")

    with pytest.raises(ConnectionResetError):
        await files.put("x", broken())
    assert await files.read("x") == b"former"
    assert sizes() == {"data/x": 6}


@pytest.mark.parametrize("streamed", [False, True], ids=["bytes", "stream"])
async def test_a_file_that_is_too_large_is_not_stored(
    files: Files, sizes: Sizes, *, streamed: bool
) -> None:
    content = b"a" * (2 * MIB + 1)
    with pytest.raises(RefusedError, match="larger than 2 MiB") as refused:
        await files.put("x", chunks(*[content]) if streamed else content, max_mib=2)
    assert refused.value.status == 413
    assert sizes() == {}
    assert (await files.put("x", content[1:], max_mib=2)).size == 2 * MIB


async def test_the_stacks_bound_holds_whatever_the_caller_allows(files: Files) -> None:
    with pytest.raises(RefusedError, match="larger than 8 MiB"):
        await files.put("x", b"a" * (8 * MIB + 1), max_mib=100)


async def test_an_endless_upload_ends_at_the_bound(files: Files) -> None:
    given = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal given
        while True:
            given += 65536
            yield b"a" * 65536

    with pytest.raises(RefusedError):
        await files.put("x", endless())
    assert given <= 8 * MIB + 2 * 65536


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", "../x", "a/../x", "/x", "a//b", ".x", "a/.x", "a\0", "a\nb", "a\\b"),
        *("\ud800", "a/\udfff.png", "x" * 513, "a/" + "x" * 256, "ä" * 128),
    ],
    ids=ascii,
)
async def test_a_name_that_leads_out_or_hides_is_refused(files: Files, name: str) -> None:
    for deed in (files.put(name, b"1"), files.read(name), files.delete(name)):
        with pytest.raises(RefusedError, match="use the file name") as refused:
            await deed
        assert refused.value.status == 400
    with pytest.raises(RefusedError):
        files.url(name)


@pytest.mark.parametrize(
    "name",
    ["x" * 255, "ä" * 127, "a&b=c;d'e", "a b+c", "\u202egnp.exe", "a\x85b", "\U0001f600", "C:x"],
    ids=ascii,
)
async def test_an_odd_name_is_a_name_and_comes_back(files: Files, name: str) -> None:
    await files.put(name, b"1")
    assert await files.read(name) == b"1"
    assert (await files.about(name)).name == name
    assert files.url(name).isascii()
    assert await files.delete(name)
    assert not await files.delete(name)


async def test_names_of_other_alphabets_are_names(files: Files) -> None:
    await files.put("fotos/größe 2026 照片.txt", b"1")
    assert await files.read("fotos/größe 2026 照片.txt") == b"1"
    assert files.url("fotos/größe 2026 照片.txt").isascii()


async def test_a_url_gives_out_one_file_for_a_while(files: Files, directory: Directory) -> None:
    key = files.url("a b.png", expires_s=100).partition("?key=")[2]
    assert 100 <= files.allowed("a b.png", key) <= 200
    with pytest.raises(SignatureError, match="another file"):
        files.allowed("b.png", key)
    with pytest.raises(SignatureError):
        files.allowed("a b.png", key[:-1])
    other = Files()
    await other.open(directory)
    assert other.allowed("a b.png", key)


async def test_a_url_stays_the_same_so_that_browsers_keep_the_file(files: Files) -> None:
    assert len({files.url("x", expires_s=86_400) for _ in range(3)}) == 1


async def test_an_expired_url_is_refused(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    url = files.url("x", expires_s=10)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 21)
    with pytest.raises(SignatureError, match="expired"):
        files.allowed("x", url.partition("?key=")[2])


async def test_uploads_side_by_side_do_not_mix(files: Files) -> None:
    async def one(number: int) -> bool:
        content = bytes([number]) * 1_500_000
        await files.put(f"n/{number}", chunks(content[:10], content[10:]))
        return await files.read(f"n/{number}") == content

    assert all(await asyncio.gather(*(one(number) for number in range(12))))


async def test_closed_it_says_how_to_open_it() -> None:
    with pytest.raises(UnavailableError, match="wrap the application"):
        await Files().put("x", b"1")
