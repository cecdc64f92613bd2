"""Going from a folder to servers, and the death of any of them, must lose no acknowledged file."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import ssl
from typing import TYPE_CHECKING

import httpx
import pytest
from stored import Uploads

from millions.runtime import processes
from millions.testing import eventually
from millions.tiers import seaweedfs

if TYPE_CHECKING:
    from stored import Stored

pytestmark = pytest.mark.timeout(240)

REPLACED_WITHIN_S = 45.0

UNITS = (
    "files-gateway.1",
    "files-gateway.2",
    "files-volume.1",
    "files-volume.2",
    "files-master.1",
)


async def after(stack: Stored, title: str, *names: str) -> list[int]:
    """Kill these units at once while files are uploaded; which uploads failed."""
    await stack.settled()
    async with Uploads(stack, title) as uploads:
        await uploads.more()
        dead = [stack.signal(name, signal.SIGKILL) for name in names]
        assert processes.wait_gone(tuple(dead))
        await uploads.more()
    await stack.settled()
    return uploads.failed


async def test_the_change_from_the_folder_fails_no_upload_and_every_file_is_read_after_it(
    stack: Stored,
) -> None:
    assert stack.failed_in_the_change == []
    assert any(name.startswith("folder/") for name in stack.acknowledged)
    assert any(name.startswith("change/") for name in stack.acknowledged)
    assert not list((stack.state.path / "files" / "data" / "after").glob("*"))
    async with stack.client() as client:
        assert await stack.lost(client) == []


async def test_the_change_starts_no_web_process_again(stack: Stored) -> None:
    assert stack.identity("web.1") == stack.web_before


@pytest.mark.parametrize("name", UNITS)
async def test_the_death_of_one_process_loses_no_file_and_fails_no_upload(
    stack: Stored, name: str
) -> None:
    assert await after(stack, name, name) == []
    async with stack.client() as client:
        assert await stack.lost(client, last=30) == []


async def test_the_death_of_all_of_them_at_once_loses_no_file(stack: Stored) -> None:
    failed = await after(stack, "all", *stack.unit_names())
    assert len(failed) <= 2
    async with stack.client() as client:
        assert await stack.lost(client) == []


async def test_a_frozen_gateway_fails_no_upload_and_no_read(stack: Stored) -> None:
    await stack.settled()
    frozen = stack.signal("files-gateway.1", signal.SIGSTOP)
    try:
        async with Uploads(stack, "frozen") as uploads, stack.client() as client:
            await uploads.more()
            assert await stack.lost(client, last=10) == []
    finally:
        processes.send(frozen, signal.SIGCONT)
    assert uploads.failed == []
    await stack.settled()


async def test_a_volume_server_that_hangs_is_replaced_while_uploads_wait_and_none_is_lost(
    stack: Stored,
) -> None:
    await stack.settled()
    async with Uploads(stack, "hangs") as uploads:
        await uploads.more()
        frozen = stack.signal("files-volume.1", signal.SIGSTOP)
        await eventually(lambda: not processes.alive(frozen), within_s=REPLACED_WITHIN_S)
        await uploads.more()
    await stack.settled()
    assert stack.identity("files-volume.1") != frozen
    assert uploads.failed == []
    async with stack.client() as client:
        assert await stack.lost(client) == []


async def test_while_the_master_hangs_files_are_read_and_it_is_replaced(
    stack: Stored,
) -> None:
    await stack.settled()
    async with stack.client() as client:
        assert await stack.upload(client, "before", b"it was frozen") == 200
        frozen = stack.signal("files-master.1", signal.SIGSTOP)
        try:
            assert await stack.lost(client, last=5) == []
            assert await stack.upload(client, "meanwhile", b"1") == 200
            assert not processes.alive(frozen)
        finally:
            processes.send(frozen, signal.SIGCONT)
        await stack.settled()
        assert await stack.upload(client, "after", b"it was frozen") == 200


async def test_an_upload_that_waits_for_a_master_that_hangs_outlives_its_death(
    stack: Stored,
) -> None:
    await stack.settled()
    async with stack.client() as client:
        frozen = stack.signal("files-master.1", signal.SIGSTOP)
        uploading = asyncio.create_task(stack.upload(client, "outlives", b"1"))
        done, _ = await asyncio.wait([uploading], timeout=3.0)
        assert not done
        assert processes.send(frozen, signal.SIGKILL)
        assert await uploading == 200
        assert await stack.lost(client, last=1) == []


async def test_an_upload_that_is_cut_off_half_way_leaves_the_former_file_and_nothing_else(
    stack: Stored,
) -> None:
    await stack.settled()
    staging = stack.state.path / "files" / "staging"
    async with stack.client() as client:
        assert await stack.upload(client, "half", b"former") == 200
        _, writer = await asyncio.open_connection("127.0.0.1", stack.port)
        head = b"PUT /half HTTP/1.1\r\nHost: files\r\nContent-Length: 4000000\r\n\r\n"
        writer.write(head + os.urandom(2_500_000))
        await writer.drain()
        await eventually(lambda: any(staging.iterdir()), within_s=10)
        writer.transport.abort()
        await eventually(lambda: not any(staging.iterdir()), within_s=10)
        assert await stack.lost(client, last=1) == []


def status_of(address: str, path: str, *, method: str = "GET") -> int:
    return httpx.request(method, f"http://{address}{path}", timeout=10, trust_env=False).status_code


async def test_none_of_them_answers_who_shows_nothing(stack: Stored) -> None:
    await stack.settled()
    hosts = {name: stack.address(name).host for name in UNITS}
    gateway = hosts["files-gateway.1"]
    assert status_of(f"{gateway}:{seaweedfs.S3_PORT}", "/files/data/folder/0") == 403
    assert status_of(f"{gateway}:{seaweedfs.S3_PORT}", "/files/data/x", method="PUT") == 403
    assert status_of(f"{gateway}:{seaweedfs.FILER_PORT}", "/buckets/files/") == 401
    master = f"{hosts['files-master.1']}:{seaweedfs.MASTER_PORT}"
    assert status_of(master, "/dir/assign") == 404
    volume = f"{hosts['files-volume.1']}:{seaweedfs.VOLUME_PORT}"
    assert status_of(volume, "/1,01637037d6", method="POST") == 401
    assert status_of(volume, "/1,01637037d6") == 401


@pytest.mark.parametrize("port", [seaweedfs.MASTER_PORT, seaweedfs.FILER_PORT], ids=str)
async def test_who_has_no_certificate_of_the_stack_is_not_talked_to(
    stack: Stored, port: int
) -> None:
    host = stack.address("files-master.1").host
    told = ssl.create_default_context(cafile=str(stack.state.secrets / "ca.pem"))
    told.set_alpn_protocols(["h2"])
    with socket.create_connection((host, port + 10_000), timeout=10) as plain:
        assert answered(told, plain, host) == b""


def answered(told: ssl.SSLContext, plain: socket.socket, host: str) -> bytes:
    """What comes after the handshake; nothing when it breaks the connection off."""
    try:
        with told.wrap_socket(plain, server_hostname=host) as secured:
            secured.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            return secured.recv(1)
    except (ssl.SSLError, ConnectionError):
        return b""
