"""The state folder of a stack, in a home of its own."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from millions.runtime import state as states

if TYPE_CHECKING:
    from collections.abc import Iterator

    from millions.runtime.state import StateFolder


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch) -> Iterator[StateFolder]:
    folder = Path(tempfile.mkdtemp(prefix="millions-test-"))
    folder.chmod(0o755)
    monkeypatch.setenv("MILLIONS_HOME", str(folder))
    yield states.create("app", folder / "a.toml")
    shutil.rmtree(folder)
