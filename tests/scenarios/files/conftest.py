"""One stack that has gone from a folder to servers for its files; stopped and erased at its end."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from stored import Stored

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    """A short folder that the units' user may enter."""
    folder = Path(tempfile.mkdtemp(prefix="millions-fil-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def stack(root: Path) -> Iterator[Stored]:
    """A stack whose files are on two servers, after they were in a folder."""
    made = Stored(root=root)
    made.make()
    try:
        made.millions("up", "--detach")
        asyncio.run(made.change())
        yield made
    finally:
        made.end()
