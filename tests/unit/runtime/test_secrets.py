"""A generated secret must be one word in every server's own syntax, wherever it is written."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from millions.runtime import publish
from millions.runtime import state as states

if TYPE_CHECKING:
    from collections.abc import Iterator

    from millions.runtime.state import StateFolder

NAMES = tuple(f"secret-{number}" for number in range(300))
PLAIN = re.compile(r"[A-Za-z]{45,}\n")
"""HAProxy takes a leading `-` for an option, NATS that or a digit for a number."""


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch) -> Iterator[StateFolder]:
    folder = Path(tempfile.mkdtemp(prefix="millions-test-"))
    folder.chmod(0o755)
    monkeypatch.setenv("MILLIONS_HOME", str(folder))
    yield states.create("app", folder / "a.toml")
    shutil.rmtree(folder)


def test_secrets_are_letters_alone_and_differ(state: StateFolder) -> None:
    publish.make_secrets(state, NAMES)
    made = [(state.secrets / name).read_text() for name in NAMES]
    assert [each for each in made if not PLAIN.fullmatch(each)] == []
    assert len(set(made)) == len(NAMES)


def test_a_secret_that_is_there_stays(state: StateFolder) -> None:
    publish.make_secrets(state, NAMES[:2])
    before = [(state.secrets / name).read_text() for name in NAMES[:2]]
    publish.make_secrets(state, NAMES[:2])
    assert [(state.secrets / name).read_text() for name in NAMES[:2]] == before
