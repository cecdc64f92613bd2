"""Fixtures of the control path: a machine with room for stacks, and nothing left behind."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from stacks import Stack

from millions.runtime import belonging, down
from millions.runtime import state as states

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ARTIFACTS = Path(__file__).parents[3] / "artifacts"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Tell the fixture below whether the test failed."""
    report = yield
    if report.when == "call":
        item.stash[_FAILED] = report.failed
    return report


_FAILED = pytest.StashKey[bool]()


@pytest.fixture
def new_stack(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Callable[..., Stack]]:
    """Make stacks in a state root of this test; stop them all and prove that nothing is left."""
    root = Path(tempfile.mkdtemp(prefix="millions-test-"))
    root.chmod(0o755)
    monkeypatch.setenv("MILLIONS_HOME", str(root))
    made: list[Stack] = []

    def make(name: str = "app") -> Stack:
        made.append(Stack(state=states.create(name, root / f"{name}.toml")))
        return made[-1]

    yield make
    for each in made:
        down.stop_all(each.state)
    left = [member for each in made for member in belonging.members(each.state)]
    if request.node.stash.get(_FAILED, False):
        shutil.copytree(root, ARTIFACTS / request.node.name, dirs_exist_ok=True)
    shutil.rmtree(root)
    assert left == []


@pytest.fixture
def stack(new_stack: Callable[..., Stack]) -> Stack:
    """One stack, of which nothing runs yet."""
    return new_stack()
