"""Stacks with a ledger and backups; each is stopped and erased at the end, with all restored."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest_asyncio

sys.path.insert(0, str(Path(__file__).parents[1] / "database_move"))

from ledger import Ledger  # the application of the moves

from millions.runtime import belonging
from millions.runtime.state import open_folder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest_asyncio.fixture(scope="module")
async def ledger() -> AsyncIterator[Ledger]:
    """A ledger with backups that is up."""
    root = Path(tempfile.mkdtemp(prefix="millions-backup-", dir="/tmp"))
    root.chmod(0o755)  # noqa: ASYNC240  # before anything runs
    made = Ledger(root, more="\n[backup]\nmib_s = 1024\n")
    made.make()
    try:
        await made.millions("up", "--detach")
        yield made
    finally:
        for folder in (root / "home").glob("ledger-*"):
            state = open_folder(folder)
            stack = state.identity.stack_file
            await made.millions("-C", stack, "down", status=None)
            assert belonging.members(state) == ()
        shutil.rmtree(root)
