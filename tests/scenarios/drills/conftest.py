"""A stage for the faults: a real stack on rung 1 with the application of drills."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from drilling import Drilled

from millions.drill import stage as stages

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def drilled() -> AsyncIterator[Drilled]:
    root = stages.make_root()
    stage = stages.make({}, rung=1, folder=None, root=root)
    try:
        await stage.do("up", "--detach")
        yield Drilled(stage)
    finally:
        await stage.millions("down")
        stages.erase(root)
    assert left_behind(root) == []


@pytest.fixture
def as_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("rules of the network and mounts need root")


def left_behind(root: Path) -> list[int]:
    """Processes of stacks whose state is below `root`."""
    mark = f"MILLIONS_DIRECTORY={root}/".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found
