"""How many of a group run is decided by the supervisor; the document holds all there may be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from millions.model import Phase, Unit
from millions.reconcile.scaling import Decided, Rule
from millions.runtime import counts
from millions.runtime.desired import Desired, parse
from millions.runtime.ledger import Ledger
from millions.runtime.record import ProcessRecord
from millions.runtime.state import Identity, StateFolder

if TYPE_CHECKING:
    from pathlib import Path

RULE = Rule(group="web", least=1, most=4, first=2, target=16.0, idle_s=60.0)


def unit(name: str) -> Unit:
    return Unit(name=name, tier="any", group=name.partition(".")[0], command=("run",))


WANTED = Desired(
    generation=1,
    units=(unit("web.1"), unit("web.2"), unit("database.1"), unit("web.3"), unit("web.4")),
    scaling=(RULE,),
)


@pytest.fixture
def state(tmp_path: Path) -> StateFolder:
    identity = Identity(name="photos", stack_file="/photos/millions.toml", network=7)
    made = StateFolder(path=tmp_path, identity=identity, account=None)
    for each in WANTED.units:
        made.unit(each.name).mkdir(parents=True)
    return made


def runs(ledger: Ledger, *names: str) -> None:
    for name in names:
        process = ProcessRecord(
            number=1, spec=unit(name), since_s=1.0, changed_s=1.0, phase=Phase.READY
        )
        ledger.change(name, processes=(process,))


@pytest.mark.parametrize(
    ("known", "names"),
    [
        pytest.param({}, ["web.1", "web.2", "database.1"], id="the first ones"),
        pytest.param({"web": 1}, ["web.1", "database.1"], id="one"),
        pytest.param({"web": 3}, ["web.1", "web.2", "database.1", "web.3"], id="three"),
        pytest.param(
            {"web": 9}, ["web.1", "web.2", "database.1", "web.3", "web.4"], id="no more than all"
        ),
        pytest.param({"web": 0}, ["database.1"], id="none"),
    ],
)
def test_the_first_ones_of_a_group_run(known: dict[str, int], names: list[str]) -> None:
    assert [each.name for each in WANTED.goal(known).units] == names


def test_without_a_rule_all_run() -> None:
    fixed = Desired(generation=1, units=WANTED.units)
    assert fixed.goal({"web": 1}).units == WANTED.units


def test_the_document_is_read_back_with_its_rules() -> None:
    assert parse(WANTED.text()) == WANTED


def test_what_was_decided_last_is_gone_on_with(state: StateFolder) -> None:
    decided = Decided(group="web", count=3, at_s=5.0, why="because", full_rate=20.0, release="r1")
    counts.write(state.scaling, (decided,))
    assert counts.last(state.scaling, WANTED, Ledger(state)) == (decided,)
    assert counts.of(state.scaling, WANTED, Ledger(state)) == {"web": 3}


@pytest.mark.parametrize(
    ("names", "count"),
    [
        pytest.param((), 2, id="nothing"),
        pytest.param(("web.1",), 2, id="fewer than at first"),
        pytest.param(("web.1", "web.2", "web.3", "database.1"), 3, id="more than at first"),
    ],
)
@pytest.mark.parametrize("text", [None, "{", '{"groups": 3, "format": 1}'])
def test_where_nothing_is_known_what_runs_is_counted(
    state: StateFolder, names: tuple[str, ...], count: int, text: str | None
) -> None:
    ledger = Ledger(state)
    runs(ledger, *names)
    if text is not None:
        state.scaling.write_text(text)
    assert counts.of(state.scaling, WANTED, ledger) == {"web": count}
