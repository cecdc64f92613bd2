"""One stack with servers for files for each file of tests; stopped and erased at its end."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from stored import IN_A_FOLDER, Stored

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    """A short folder that the units' user may enter."""
    folder = Path(tempfile.mkdtemp(prefix="millions-fil-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def running(stack: Stored) -> Iterator[Stored]:
    stack.make()
    try:
        stack.millions("up", "--detach")
        yield stack
    finally:
        stack.end()


@pytest.fixture(scope="module")
def stack(root: Path) -> Iterator[Stored]:
    """A stack whose files are on two servers, and that is up."""
    yield from running(Stored(root=root))


@pytest.fixture(scope="module")
def in_a_folder(root: Path) -> Iterator[Stored]:
    """A stack whose files are in a folder, and that is up."""
    yield from running(Stored(root=root, files=IN_A_FOLDER))
