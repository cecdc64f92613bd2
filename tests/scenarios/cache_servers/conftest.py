"""A stack with two cache servers for the tests of this folder; nothing of it is left behind."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cached_stack import CachedStack

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def stack() -> Iterator[CachedStack]:
    """A stack that is up. Its folder is one that the units' user may enter."""
    root = Path(tempfile.mkdtemp(prefix="millions-cached-", dir="/tmp"))
    root.chmod(0o755)
    made = CachedStack(root, "numbers")
    made.millions("up", "--detach")
    yield made
    made.millions("down", status=None)
    shutil.rmtree(root, ignore_errors=True)
