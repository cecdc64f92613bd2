"""The noun `files` on a folder of its own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from millions.directory import Directory
from millions.sdk.files import Files
from millions.testing import EmbeddedPostgres, directory_for


@pytest.fixture
def directory(tmp_path: Path) -> Directory:
    return directory_for(EmbeddedPostgres(tmp_path).place("nowhere"), tmp_path)


@pytest.fixture
async def files(directory: Directory) -> AsyncIterator[Files]:
    opened = Files()
    await opened.open(directory)
    yield opened
    await opened.close()
