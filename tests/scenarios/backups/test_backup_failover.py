"""On rung 4 the archive must follow whoever leads, and a moment after a failover be restorable."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import HTTPError

import pytest
import pytest_asyncio
from ledger import Ledger
from vault import archived, lines, moment, told, write

from millions.runtime import belonging
from millions.runtime.state import open_folder
from millions.testing import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.timeout(400)  # three members of everything, and another stack
SOON_S = 60.0
CREATED, UNAVAILABLE = 201, 503


@pytest_asyncio.fixture
async def replicated() -> AsyncIterator[Ledger]:
    """A ledger on rung 4, where backups are made without being asked for."""
    root = Path(tempfile.mkdtemp(prefix="millions-backup-", dir="/tmp"))
    root.chmod(0o755)  # noqa: ASYNC240  # before anything runs
    made = Ledger(root, rung=4)
    made.make()
    try:
        await made.millions("up", "--detach")
        yield made
    finally:
        for folder in (root / "home").glob("ledger-*"):
            state = open_folder(folder)
            await made.millions("-C", state.identity.stack_file, "down", status=None)
            assert belonging.members(state) == ()
        shutil.rmtree(root)


def written(ledger: Ledger, name: str) -> int | str:
    """The status of a write, or why there was none; 0 when it is to be asked again later."""
    try:
        write(ledger, name)
    except HTTPError as error:
        return 0 if error.code == UNAVAILABLE else error.code
    except OSError as error:
        return str(error)
    return CREATED


async def test_the_archive_follows_whoever_leads(replicated: Ledger) -> None:
    await archived(replicated)
    write(replicated, "before")
    (leader,) = replicated.primaries()
    lock = replicated.state.unit(leader) / "data" / "postgresql" / "postmaster.pid"
    assert replicated.kill(int(lock.read_text().split()[0]))
    assert await eventually(lambda: written(replicated, "after"), within_s=SOON_S) == CREATED
    after = await moment(replicated)
    write(replicated, "later")
    await eventually(lambda: replicated.primaries() not in ([], [leader]), within_s=SOON_S)
    await archived(replicated)
    assert await lines(replicated, "--at", after, name="after") == ["before", "after"]
    await replicated.millions("backup")
    assert [each["kind"] for each in (await told(replicated))["backups"]] == ["full", "incremental"]
