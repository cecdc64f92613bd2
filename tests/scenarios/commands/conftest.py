"""Applications for the scenarios of the command line; each is stopped and erased at the end."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import commandline
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from commandline import Application


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    """A short folder that the units' user may enter: unix sockets have short paths."""
    folder = Path(tempfile.mkdtemp(prefix="millions-cli-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def new(root: Path) -> Iterator[Callable[[str], Application]]:
    """Makes applications by name; their stacks are stopped at the end."""
    made: list[Application] = []

    def make(name: str) -> Application:
        made.append(commandline.make(root, name))
        return made[-1]

    yield make
    for application in made:
        application.millions("down", status=None)
        assert application.pids() == []


@pytest.fixture(scope="module")
def notes(new: Callable[[str], Application]) -> Application:
    """A new application that is up."""
    application = new("notes")
    application.millions("up", "--detach")
    return application
