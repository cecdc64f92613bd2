"""Stacks with a ledger; each is stopped and erased at the end, and leaves no process behind."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest_asyncio
from ledger import Ledger, People

from millions.runtime import belonging

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest_asyncio.fixture(scope="module")
async def ledger() -> AsyncIterator[Ledger]:
    """A ledger that is up. Each test of a module leaves it well, on whatever server."""
    root = Path(tempfile.mkdtemp(prefix="millions-move-", dir="/tmp"))
    root.chmod(0o755)  # noqa: ASYNC240  # before anything runs
    made = Ledger(root)
    made.make()
    try:
        await made.millions("up", "--detach")
        yield made
    finally:
        await made.millions("down", status=None)
        assert belonging.members(made.state) == ()
        shutil.rmtree(root)


@pytest_asyncio.fixture
async def people(ledger: Ledger) -> AsyncIterator[People]:
    """People who write into it."""
    made = People(ledger)
    made.start()
    yield made
    await made.stop()
