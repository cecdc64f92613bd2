"""The stack file of rung 2 must run as it stands in examples, and its database must move."""

from __future__ import annotations

import shutil
import tempfile
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest_asyncio
from ledger import Ledger

from millions.runtime import belonging

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

EXAMPLES = Path(__file__).parents[3] / "examples"
LISTENS = '# listen = "127.0.0.1:8000"'
MEMORY = "memory_mib = 1024"


class Photos(Ledger):
    """The photo-sharing application on the example's stack file, on a port of its own."""

    def make(self) -> None:
        shutil.copytree(EXAMPLES / "photos", self.folder)
        text = (EXAMPLES / "02-database.toml").read_text(encoding="utf-8")
        assert LISTENS in text
        assert MEMORY in text
        text = text.replace(LISTENS, f'listen = "127.0.0.1:{self.port}"', 1)
        text = text.replace(MEMORY, "memory_mib = 128").replace(
            'name = "photos"', 'name = "ledger"'
        )
        text = text.replace('folder = "photos"', 'folder = "."')
        self.file.write_text(text, encoding="utf-8")


@pytest_asyncio.fixture
async def photos() -> AsyncIterator[Photos]:
    root = Path(tempfile.mkdtemp(prefix="millions-rung2-", dir="/tmp"))
    root.chmod(0o755)  # noqa: ASYNC240
    made = Photos(root)
    made.make()
    try:
        await made.millions("up", "--detach")
        yield made
    finally:
        await made.millions("down", status=None)
        assert belonging.members(made.state) == ()
        shutil.rmtree(root)


def page(photos: Photos) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{photos.port}/", timeout=30) as answer:
        return str(answer.read().decode())


async def test_the_photo_application_runs_on_rung_2_and_moves_on(photos: Photos) -> None:
    assert photos.settings()["rung"] == 2
    assert photos.primaries() == ["database.2"]
    assert "<html" in page(photos)
    await photos.move(3)
    assert photos.primaries() == ["database.3"]
    assert "<html" in page(photos)
