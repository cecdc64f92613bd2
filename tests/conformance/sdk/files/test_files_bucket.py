"""The laws of the bucket form: a server that is dead, silent or refuses costs a bounded wait."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import obstore
import pytest
from slow_server import slow

from millions.directory import Directory, Endpoint
from millions.errors import MachineError, UnavailableError
from millions.runtime.ports import free_port
from millions.sdk import files_servers
from millions.sdk.files import Files
from millions.sdk.files_bucket import Bucket
from millions.sdk.files_place import StoredFile
from millions.sdk.files_servers import Servers
from millions.sdk.files_upload import Staged
from millions.testing.postgres import HOST
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


async def test_a_large_file_is_sent_to_the_next_server_however_long_the_first_was_silent(
    in_a_bucket: Directory, silent: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may take as long as all attempts together: each other one is asked all the same."""
    monkeypatch.setattr(files_servers, "PATIENT_WITHIN_S", 6.0)
    monkeypatch.setattr(files_servers, "ATTEMPTS_FOR_S", 2.0)
    place = Endpoint(host=HOST, port=silent.getsockname()[1])
    async with opened(beside(in_a_bucket, place)) as files:
        for number in range(2):  # each server is the first to be asked once
            await files.put(f"large/{number}", b"x" * (2 * MIB))


async def test_who_is_cancelled_while_it_writes_goes_on_once_that_has_ended(
    in_a_bucket: Directory,
) -> None:
    """Else the file's name is free while an older content is still on its way to it."""
    began, end, ended = threading.Event(), threading.Event(), threading.Event()

    def slowly(_store: object) -> bool:
        began.set()
        end.wait(10)
        ended.set()
        return True

    servers = Servers(in_a_bucket.files, "secret")
    writing = asyncio.create_task(servers.tried("store x", slowly, missing=False, writes=True))
    assert await asyncio.to_thread(began.wait, 10)
    writing.cancel()
    done, _ = await asyncio.wait([writing], timeout=0.1)
    assert not done
    end.set()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert ended.is_set()
    servers.close()


async def test_reads_do_not_wait_behind_writes(in_a_bucket: Directory) -> None:
    end = threading.Event()
    servers = Servers(in_a_bucket.files, "secret")
    write = partial(servers.tried, "store x", lambda _: end.wait(10), missing=False, writes=True)
    writing = [asyncio.create_task(write()) for _ in range(2 * files_servers.THREADS)]
    read = servers.tried("read x", lambda _: True, missing=False)
    assert await asyncio.wait_for(read, timeout=5)
    end.set()
    assert all(await asyncio.gather(*writing))
    servers.close()


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


async def test_storage_that_answers_slowly_keeps_and_gives_every_file(
    in_a_bucket: Directory,
) -> None:
    (real,) = in_a_bucket.files.servers
    async with slow(real, ANSWERS_AFTER_S) as late:
        place = replace(in_a_bucket.files, servers=(late.place,))
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
