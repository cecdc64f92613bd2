"""A climb is written down so that whoever comes later can go on or turn round."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from millions import stack as stacks
from millions.cli.climbing import coming, erasing, going
from millions.cli.climbing.record import Climb
from millions.cli.opened import Opened
from millions.climb import steps as plans
from millions.climb.table import TABLE, Event, State, following
from millions.errors import ClimbError, StateError
from millions.model import Unit
from millions.runtime import codec
from millions.runtime.ledger import RECORD
from millions.runtime.record import UnitRecord
from millions.runtime.state import Identity, StateFolder
from millions.tiers.kind import MOVED_BACK

if TYPE_CHECKING:
    from pathlib import Path

APP = '[app]\nname = "photos"\nweb = "photos.web:app"\n'
LOW, HIGH = f"rung = 1\n{APP}", f"rung = 4\n{APP}[database]\nserver = 2\n"
UP = ("database", "balancer", "backup", "consensus")


def climb(**changes: object) -> Climb:
    bare = Climb(origin=LOW, target=HIGH, app=LOW, app_wanted=LOW, release="r1", names=UP)
    return dataclasses.replace(bare, **changes)  # type: ignore[arg-type]


def test_it_is_read_back_with_the_same_steps():
    found = codec.parse(Climb, codec.text(climb(at=2)), where="climb.json", try_="")
    assert found == climb(at=2)
    assert [each.name for each in found.steps] == list(UP)


@pytest.mark.parametrize("begun", range(len(UP) + 1))
def test_the_way_back_undoes_what_was_begun_in_the_reverse_order(begun: int):
    back = climb(turned=begun, names=UP[:begun][::-1])
    assert [each.name for each in back.steps] == list(UP[:begun][::-1])
    assert (back.ends, back.text) == ((4, 1), LOW)
    if begun:
        assert plans.steps(back.steps[-1].stack, back.way[0]) == ()


def test_other_steps_than_those_begun_are_refused():
    with pytest.raises(StateError, match="would go by other steps"):
        _ = climb(names=UP[1:]).steps


def test_a_step_that_was_broken_off_is_begun_again_and_never_skipped():
    assert following(State.CHANGING, Event.BEGUN) is State.CHANGING
    assert following(State.PROVING, Event.BEGUN) is State.CHANGING
    with pytest.raises(KeyError):
        following(State.CHANGING, Event.PROVEN)
    assert {state for state, _ in TABLE} == set(State) - {State.DONE}


def folder(tmp_path: Path) -> StateFolder:
    identity = Identity(name="photos", stack_file=str(tmp_path / "millions.toml"), network=7)
    return StateFolder(path=tmp_path, identity=identity, account=None)


def opened(tmp_path: Path) -> Opened:
    return Opened(file=tmp_path / "millions.toml", stack=stacks.parse(LOW), state=folder(tmp_path))


@pytest.mark.parametrize("at", range(len(UP) + 1))
def test_a_climb_between_two_steps_turns_round_from_those_that_are_done(tmp_path: Path, at: int):
    state = State.ENDING if at == len(UP) else State.READY
    back, first = going.as_turned(opened(tmp_path), climb(at=at, state=state))
    assert (back.turned, back.names, first) == (at, UP[:at][::-1], ())
    assert following(state, Event.TURNED) is State.READY


STORED = "[store]\nservers = 3\n"
WITH_STORE = {
    "origin": f"rung = 3\n{APP}",
    "target": f"rung = 3\n{APP}{STORED}",
    "names": ("store",),
}


def test_servers_that_were_ready_once_may_have_data_until_it_has_gone_back(tmp_path: Path):
    there = opened(tmp_path)
    begun = climb(**WITH_STORE, state=State.CHANGING)
    assert going.as_turned(there, begun)[0].names == ()
    assert not coming.may_hold(there.state, "store")
    data = there.state.unit("store.1") / "data"
    data.mkdir(parents=True)
    assert coming.may_hold(there.state, "store")  # nothing is known of it
    assert going.as_turned(there, begun)[0].names == ("store-back", "store")
    written = data.parent / RECORD
    written.write_text(UnitRecord(name="store.1").text())
    assert not coming.may_hold(there.state, "store")
    written.write_text(
        UnitRecord(name="store.1", good=Unit(name="s", tier="store", command=("x",))).text()
    )
    assert coming.may_hold(there.state, "store")
    (data / MOVED_BACK).touch()
    assert not coming.may_hold(there.state, "store")


def test_a_step_that_gives_data_back_is_finished_before_a_climb_turns_round(tmp_path: Path):
    down = climb(
        origin=WITH_STORE["target"],
        target=WITH_STORE["origin"],
        names=("store-back", "store"),
        state=State.CHANGING,
    )
    back, first = going.as_turned(opened(tmp_path), down)
    assert (first, back.names) == (("store-back", "store"), ("store",))


def test_what_is_not_proven_to_be_elsewhere_is_not_erased(tmp_path: Path):
    state = folder(tmp_path)
    for name in ("store.1", "store.2"):
        (state.unit(name) / "data").mkdir(parents=True)
    erasing.mark(state, ["store.1", "store.3"])
    erasing.marked(state, ["store.1", "store.3"])
    with pytest.raises(ClimbError, match=r"store\.2"):
        erasing.marked(state, ["store.1", "store.2"])
