"""One stack for each module of tests, stopped at its end."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from jobs_stack import Jobs

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def jobs(request: pytest.FixtureRequest) -> Iterator[Jobs]:
    """A stack that is not up yet, in a short folder that the units' user may enter."""
    folder = Path(tempfile.mkdtemp(prefix="millions-jobs-", dir="/tmp"))
    folder.chmod(0o755)
    made = Jobs(folder, request.module.__name__.rpartition("_")[2])
    yield made
    made.millions("down", status=None)
    left = made.pids()
    shutil.rmtree(folder, ignore_errors=True)
    assert left == []
