"""The laws of the bucket form: a server that is dead, silent or refuses costs a bounded wait."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import obstore
import pytest

from millions.directory import Directory, Endpoint
from millions.errors import MachineError, UnavailableError
from millions.sdk.files import Files
from millions.sdk.files_bucket import Bucket
from millions.sdk.files_place import StoredFile
from millions.sdk.files_servers import Servers
from millions.sdk.files_upload import Staged
from millions.testing.postgres import HOST, free_port
from millions.testing.seaweed import EmbeddedSeaweed

MIB = 1024 * 1024
ATTEMPTS_FOR_S = 0.5


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A server that takes connections and never says a word."""
    with socket.create_server((HOST, 0), backlog=64) as listener:
        listener.settimeout(0)
        yield listener


@pytest.fixture
def nobody() -> Endpoint:
    return Endpoint(host=HOST, port=free_port())


@asynccontextmanager
async def opened(directory: Directory) -> AsyncIterator[Files]:
    files = Files()
    await files.open(directory)
    yield files
    await files.close()


def beside(directory: Directory, other: Endpoint) -> Directory:
    """The same storage, and a server that is of no use."""
    servers = (other, *directory.files.servers)
    return replace(directory, files=replace(directory.files, servers=servers))


async def test_a_dead_server_beside_one_that_answers_fails_nothing(
    in_a_bucket: Directory, nobody: Endpoint
) -> None:
    async with opened(beside(in_a_bucket, nobody)) as files:
        for number in range(6):
            await files.put(f"n/{number}", b"x" * number + b"y")
            assert await files.read(f"n/{number}") == b"x" * number + b"y"


async def test_a_silent_server_beside_one_that_answers_is_waited_for_by_few(
    in_a_bucket: Directory, silent: socket.socket
) -> None:
    place = Endpoint(host=HOST, port=silent.getsockname()[1])
    async with opened(beside(in_a_bucket, place)) as files:
        await asyncio.gather(*(files.put(f"n/{number}", b"1") for number in range(4)))
        await asyncio.gather(*(files.read(f"n/{number % 4}") for number in range(40)))
    asked = 0
    with suppress(BlockingIOError):
        while True:
            silent.accept()[0].close()
            asked += 1
    assert 1 <= asked <= 8  # of 84 requests


async def test_when_nobody_answers_the_wait_is_bounded_and_the_error_says_who(
    in_a_bucket: Directory, nobody: Endpoint
) -> None:
    place = replace(in_a_bucket.files, servers=(nobody,))
    servers = Servers(place, "secret", attempts_for_s=ATTEMPTS_FOR_S)
    bucket = Bucket(servers)
    about = StoredFile(name="x", size=1, content_type="text/plain", etag="e")
    with pytest.raises(UnavailableError, match=f"(?s)store x.*{nobody.port}") as caught:
        await bucket.put(Staged(about=about, content=b"1"))
    assert "secret" not in str(caught.value)
    with pytest.raises(UnavailableError, match="read x"):
        await bucket.find("x")
    assert not servers.answered
    servers.close()


ANSWERS_AFTER_S = 1.2


@asynccontextmanager
async def slow(to: Endpoint) -> AsyncIterator[Endpoint]:
    """Storage whose answers come late, a little of each at a time."""

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        theirs, ours = await asyncio.open_connection(to.host, to.port)

        async def back() -> None:
            while part := await theirs.read(1 << 16):
                await asyncio.sleep(ANSWERS_AFTER_S)  # sleeps: what is tried
                writer.write(part)
                await writer.drain()

        answering = asyncio.create_task(back())
        try:
            while part := await reader.read(1 << 16):
                ours.write(part)
                await ours.drain()
        finally:
            answering.cancel()
            ours.close()
            writer.close()

    server = await asyncio.start_server(pass_on, HOST, 0)
    host, port = server.sockets[0].getsockname()
    try:
        yield Endpoint(host=host, port=port)
    finally:
        server.close()


async def test_storage_that_answers_slowly_keeps_and_gives_every_file(
    in_a_bucket: Directory,
) -> None:
    (real,) = in_a_bucket.files.servers
    async with slow(real) as late:
        place = replace(in_a_bucket.files, servers=(late,))
        async with opened(replace(in_a_bucket, files=place)) as files:
            began = asyncio.get_running_loop().time()
            names = [f"slow/{number}" for number in range(4)]
            await asyncio.gather(*(files.put(name, name.encode()) for name in names))
            found = await asyncio.gather(*(files.read(name) for name in names))
            assert found == [name.encode() for name in names]
            assert asyncio.get_running_loop().time() - began > ANSWERS_AFTER_S
    async with opened(in_a_bucket) as files:
        assert [await files.read(name) for name in names] == found


async def test_a_wrong_secret_is_refused_at_once_and_never_told(
    in_a_bucket: Directory, tmp_path: Path
) -> None:
    secret = tmp_path / "wrong"
    secret.write_text("another-secret-that-is-long-enough-to-be-one")
    place = replace(in_a_bucket.files, secret_file=str(secret))
    async with opened(replace(in_a_bucket, files=place)) as files:
        with pytest.raises(MachineError, match="refused it") as caught:
            await files.put("x", b"1")
        assert "another-secret" not in str(caught.value)
        with pytest.raises(MachineError, match="refused it"):
            await files.read("x")


async def test_a_reader_never_mixes_two_versions_of_a_file(in_a_bucket: Directory) -> None:
    async with opened(in_a_bucket) as files:
        await files.put("x", b"a" * (3 * MIB))
        reader = aiter(await files.get("x"))
        assert await anext(reader) == b"a" * MIB
        await files.put("x", b"b" * (3 * MIB))
        with pytest.raises(UnavailableError, match="replaced or deleted"):
            await anext(reader)


async def test_a_file_that_others_put_into_the_bucket_is_a_file(
    in_a_bucket: Directory, storage: EmbeddedSeaweed
) -> None:
    obstore.put(storage.store(), "data/x.txt", b"1", attributes={"Content-Type": "text/plain"})
    async with opened(in_a_bucket) as files:
        about = await files.about("x.txt")
        assert (about.size, about.content_type) == (1, "text/plain")
        assert about.etag


async def test_an_upload_in_parts_is_one_file_with_its_type(in_a_bucket: Directory) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"\x89PNG\r\n\x1a\n"
        for number in range(7):
            yield bytes([number]) * MIB

    async with opened(in_a_bucket) as files:
        stored = await files.put("x.png", chunks())
        about = await files.about("x.png")
        assert about == stored
        assert (about.size, about.content_type) == (7 * MIB + 8, "image/png")
        assert (await files.read("x.png"))[-MIB:] == bytes([6]) * MIB
