"""A release is one to go back to only where it was ready; an own one counts beside one other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from millions import stack as stacks
from millions.cli import own_releases, releasing
from millions.cli.opened import Opened
from millions.runtime import releases
from millions.runtime.state import Identity, StateFolder

if TYPE_CHECKING:
    from pathlib import Path

APP = '[app]\nname = "photos"\nweb = "photos.web:app"\n'


@pytest.fixture
def opened(tmp_path: Path) -> Opened:
    file = tmp_path / "application" / "millions.toml"
    file.parent.mkdir()
    file.write_text(APP)
    identity = Identity(name="photos", stack_file=str(file), network=7)
    state = StateFolder(path=tmp_path / "state", identity=identity, account=None)
    state.releases.mkdir(parents=True)
    return Opened(file=file, stack=stacks.parse(APP), state=state)


def made(opened: Opened, content: str) -> str:
    (opened.folder / "photos.py").write_text(content)
    return releasing.make(opened)


def test_what_only_workers_ran_is_no_release_to_go_back_to_elsewhere(opened: Opened) -> None:
    first, second = made(opened, "1"), made(opened, "2")
    releasing.remember(opened, first)
    releasing.remember(opened, second, "workers")
    assert releasing.known(opened.state) == (second, first)
    assert releasing.proven(opened.state) == (first,)
    assert releasing.proven(opened.state, "web") == (first,)
    assert releasing.proven(opened.state, "workers") == (second, first)
    releasing.remember(opened, second, "web")
    assert releasing.proven(opened.state, "web") == (second, first)
    releasing.remember(opened, second)
    assert releasing.proven(opened.state) == (second, first)
    releasing.remember(opened, second, "workers")
    assert releasing.proven(opened.state) == (second, first), "it has run everywhere"


def test_an_own_release_counts_beside_the_release_that_it_was_given_beside(opened: Opened) -> None:
    own_releases.note(opened.state, "r1-00000000", {"workers": "r2-11111111"})
    assert own_releases.read(opened.state, "r1-00000000") == {"workers": "r2-11111111"}
    assert own_releases.read(opened.state, "r3-22222222") == {}
    own_releases.note(opened.state, "r1-00000000", {})
    assert own_releases.read(opened.state, "r1-00000000") == {}


def test_what_is_planned_has_the_name_that_a_release_gets_and_makes_none(opened: Opened) -> None:
    (opened.folder / "photos.py").write_text("1")
    planned = releasing.planned(opened)
    assert releases.listed(opened.state) == ()
    assert releasing.make(opened) == planned == releasing.planned(opened)
