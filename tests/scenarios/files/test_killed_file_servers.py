"""The death of any process of the file servers must lose no acknowledged file."""

from __future__ import annotations

import asyncio
import os
import signal
from itertools import count
from typing import TYPE_CHECKING

import pytest

from millions.runtime import processes
from millions.testing import eventually

if TYPE_CHECKING:
    from stored import Stored

pytestmark = pytest.mark.timeout(240)

UNITS = (
    "files-gateway.1",
    "files-gateway.2",
    "files-volume.1",
    "files-volume.2",
    "files-master.1",
)
ENOUGH = 5
BACK_WITHIN_S = 60.0


class Uploads:
    """Uploads one file after the other, and counts those that failed."""

    def __init__(self, stack: Stored, title: str) -> None:
        self.failed: list[int] = []
        self._stack = stack
        self._title = title.replace(".", "-")
        self._ended = False

    async def run(self) -> None:
        async with self._stack.client() as client:
            for number in count():
                if self._ended:
                    return
                name = f"{self._title}/{number}"
                status = await self._stack.upload(client, name, os.urandom(30_000))
                if status != 200:
                    self.failed.append(status)

    async def more(self) -> None:
        """Wait until more files were acknowledged."""
        before = len(self._stack.acknowledged)
        await eventually(
            lambda: len(self._stack.acknowledged) >= before + ENOUGH, within_s=BACK_WITHIN_S
        )

    def end(self) -> None:
        self._ended = True


async def after(stack: Stored, title: str, *names: str) -> list[int]:
    """Kill these units at once while files are uploaded; which uploads failed."""
    await stack.settled()
    uploads = Uploads(stack, title)
    task = asyncio.create_task(uploads.run())
    try:
        await uploads.more()
        dead = [stack.signal(name, signal.SIGKILL) for name in names]
        assert processes.wait_gone(tuple(dead))
        await uploads.more()
    finally:
        uploads.end()
        await task
    await stack.settled()
    return uploads.failed


@pytest.mark.parametrize("name", UNITS)
async def test_the_death_of_one_process_loses_no_file_and_fails_no_upload(
    stack: Stored, name: str
) -> None:
    assert await after(stack, name, name) == []
    async with stack.client() as client:
        assert await stack.lost(client) == []


async def test_the_death_of_all_of_them_at_once_loses_no_file(stack: Stored) -> None:
    failed = await after(stack, "all", *stack.unit_names())
    assert len(failed) <= 2
    async with stack.client() as client:
        assert await stack.lost(client) == []


@pytest.mark.parametrize("name", ["files-gateway.1", "files-gateway.2"])
async def test_a_frozen_gateway_fails_no_upload_and_no_read(stack: Stored, name: str) -> None:
    await stack.settled()
    frozen = stack.signal(name, signal.SIGSTOP)
    uploads = Uploads(stack, f"frozen-{name}")
    task = asyncio.create_task(uploads.run())
    try:
        await uploads.more()
        async with stack.client() as client:
            assert await stack.lost(client) == []
    finally:
        uploads.end()
        processes.send(frozen, signal.SIGCONT)
        await task
    assert uploads.failed == []
    await stack.settled()


@pytest.mark.parametrize("name", ["files-volume.1", "files-master.1"])
async def test_while_a_server_is_frozen_files_are_read_and_uploads_end_within_their_bound(
    stack: Stored, name: str
) -> None:
    await stack.settled()
    async with stack.client() as client:
        await stack.upload(client, "before", b"it was frozen")
        frozen = stack.signal(name, signal.SIGSTOP)
        try:
            assert await stack.lost(client) == []
            status = await stack.upload(client, f"frozen-{name}", os.urandom(30_000))
            assert status in {200, 500, 503}
        finally:
            processes.send(frozen, signal.SIGCONT)
        await stack.settled()
        assert await stack.upload(client, "after", b"it was frozen") == 200
        assert await stack.lost(client) == []
