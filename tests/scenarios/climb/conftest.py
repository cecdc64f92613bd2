"""A ledger that climbs; it is stopped and erased at the end, and leaves no process behind."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest_asyncio

sys.path.append(str(Path(__file__).parents[1] / "database_move"))

from ledger import Ledger, People

from millions.runtime import belonging

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SLOW_S = 1.5
"""Slow for a transaction, and nothing is cut off for it."""


@pytest_asyncio.fixture(scope="module")
async def ledger() -> AsyncIterator[Ledger]:
    """A ledger on rung 1. Each test of a module leaves it there, and well."""
    root = Path(tempfile.mkdtemp(prefix="millions-climb-", dir="/tmp"))
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
    """People who write into it, one of them slowly."""
    made = People(ledger, slow_s=SLOW_S)
    made.start()
    yield made
    await made.stop()
    if made.failures:
        print(await ledger.millions("logs", "--level", "warning", status=None))  # noqa: T201
