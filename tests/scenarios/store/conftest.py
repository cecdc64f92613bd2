"""One stack for all tests of a file, stopped and erased at its end."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from store_site import Site

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """A stack on rung 3 without servers of the store; its folder is short, for unix sockets."""
    folder = Path(tempfile.mkdtemp(prefix="millions-store-", dir="/tmp"))
    folder.chmod(0o755)
    made = Site(root=folder)
    made.make()
    try:
        made.millions("up", "--detach")
        yield made
    finally:
        made.end()
        shutil.rmtree(folder, ignore_errors=True)
