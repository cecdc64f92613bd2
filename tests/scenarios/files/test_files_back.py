"""Going back from servers to the folder must lose no file, bring none back, and fail no request."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
from typing import TYPE_CHECKING

import pytest
from stored import Uploads

from millions.runtime import desired
from millions.testing import eventually

if TYPE_CHECKING:
    from stored import Stored

pytestmark = pytest.mark.timeout(240)

MOVED_WITHIN_S = 90.0
DELETED = 5
SQL = "select count(*) from millions.files_move where to_servers is {} and remaining = 0"


async def moved(stack: Stored, *, to_servers: bool) -> None:
    """Wait until all files have moved, as PostgreSQL has it."""

    async def all_of_it() -> bool:
        said = await asyncio.to_thread(stack.millions, "sql", "--csv", SQL.format(to_servers))
        return said.split()[-1:] == ["1"]

    await eventually(all_of_it, within_s=MOVED_WITHIN_S)


def leave(stack: Stored) -> None:
    """Say to every process that files go back, as a climb does."""
    wanted = desired.read(stack.state.desired)
    assert wanted is not None
    place = wanted.directory.files
    back = dataclasses.replace(place, servers=(), former=place.servers)
    directory = dataclasses.replace(wanted.directory, files=back)
    desired.write(
        stack.state.desired,
        dataclasses.replace(wanted, generation=wanted.generation + 1, directory=directory),
    )


async def test_files_go_back_to_the_folder_under_load_while_processes_are_killed(
    stack: Stored,
) -> None:
    await stack.settled()
    await moved(stack, to_servers=True)
    data = stack.state.path / "files" / "data"
    assert not [path for path in data.rglob("*") if path.is_file()]
    async with stack.client() as client:
        for number in range(DELETED):
            assert await stack.upload(client, f"deleted/{number}", os.urandom(10_000)) == 200
        async with Uploads(stack, "back") as uploads:
            await uploads.more()
            leave(stack)
            for number in range(DELETED):
                assert (await client.delete(f"/deleted/{number}")).status_code == 200
                del stack.acknowledged[f"deleted/{number}"]
            stack.signal("files-volume.1", signal.SIGKILL)
            await uploads.more()
            await moved(stack, to_servers=False)
        assert uploads.failed == []
        assert await stack.lost(client) == []
        for number in range(DELETED):
            assert (await client.get(f"/deleted/{number}")).status_code == 404
    found = {path.relative_to(data).as_posix() for path in data.rglob("*") if path.is_file()}
    assert found == set(stack.acknowledged)
