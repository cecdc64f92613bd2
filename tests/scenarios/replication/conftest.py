"""One stack with replicas for each file of tests; stopped and erased at its end."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from replicated import Replicated

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    """A short folder that the units' user may enter."""
    folder = Path(tempfile.mkdtemp(prefix="millions-rep-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def stack(root: Path) -> Iterator[Replicated]:
    """A stack whose database has two replicas, and that is up."""
    made = Replicated(root=root)
    made.make()
    try:
        made.millions("up", "--detach")
        yield made
    finally:
        made.end()
