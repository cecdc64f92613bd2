"""Steps must be read as they were meant, and refused in words when nobody could mean them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from millions.drill import drills
from millions.drill.faults.kinds import KINDS, kind
from millions.drill.faults.step import Step, parse, schedule, seconds
from millions.drill.history import MAY_FAIL
from millions.errors import StackFileError


@pytest.mark.parametrize(
    ("words", "step"),
    [
        ("kill primary", Step(do="kill", aim="primary")),
        ("kill primary at 10s", Step(do="kill", aim="primary", at_s=10)),
        ("freeze web.1 at 500ms for 2m", Step(do="freeze", aim="web.1", at_s=0.5, for_s=120)),
        ("slow database.1 by 40 for 8", Step(do="slow", aim="database.1", by=40, for_s=8)),
        ("deploy at 3s", Step(do="deploy", at_s=3)),
    ],
)
def test_words_are_read(words: str, step: Step) -> None:
    assert parse(words) == step


@pytest.mark.parametrize(
    "words",
    ["", "kill primary at", "kill primary at noon", "kill primary soon 5s", "kill web by few"],
)
def test_words_that_make_no_sense_are_refused(words: str) -> None:
    with pytest.raises(StackFileError, match="understand the fault"):
        parse(words)


def test_a_schedule_is_read_in_its_order(tmp_path: Path) -> None:
    file = tmp_path / "schedule.toml"
    file.write_text(
        '[[fault]]\ndo = "kill"\naim = "web"\nat_s = 3\n\n[[fault]]\ndo = "deploy"\nat_s = 9.5\n'
    )
    assert schedule(file) == (Step(do="kill", aim="web", at_s=3), Step(do="deploy", at_s=9.5))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x = 1",
        "[[fault]]\n",
        "[[fault]]\ndo = 5",
        '[[fault]]\ndo = "kill"\nwhen = 5',
        '[[fault]]\ndo = "kill"\nat_s = -1',
        "not toml",
    ],
)
def test_a_schedule_that_makes_no_sense_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "schedule.toml"
    file.write_text(text)
    with pytest.raises(StackFileError):
        schedule(file)


def test_a_fault_that_there_is_not_is_refused_with_the_nearest() -> None:
    with pytest.raises(StackFileError, match="freeze"):
        kind(Step(do="freze"))


def test_a_jump_of_the_clock_is_refused_with_the_reason() -> None:
    with pytest.raises(StackFileError, match="clock of one process"):
        kind(Step(do="clock-jump"))


def test_times_have_units() -> None:
    assert [seconds(each) for each in ("10", "10s", "250ms", "2m")] == [10, 10, 0.25, 120]


@pytest.mark.parametrize("drill", drills.ALL, ids=lambda drill: drill.name)
def test_every_drill_says_what_may_fail_and_uses_faults_that_exist(drill: drills.Drill) -> None:
    assert {each.do for each in drill.steps} <= KINDS.keys()
    assert {drill.allowed(1), drill.allowed(4)} <= set(MAY_FAIL)
    assert drill.promises
    assert drill.lasts_s > max((each.at_s + each.for_s for each in drill.steps), default=0)


def test_the_guide_names_every_drill_and_none_that_there_is_not() -> None:
    guide = (Path(__file__).parents[3] / "docs" / "guides" / "drills.md").read_text()
    table = guide.partition("## What is broken")[2].partition("## Faults of your own")[0]
    rows = "".join(line for line in table.splitlines() if line.startswith("|"))
    assert sorted(re.findall(r"`([a-z-]+)`", rows)) == sorted(each.name for each in drills.ALL)


def test_whoever_uses_caches_and_tasks_is_promised_both_whatever_is_broken() -> None:
    primary = drills.drill("kill-primary")
    assert primary.proves("nouns") == ("G1", "G3", "G4", "G5", "G6")
    assert primary.proves("pure") == ("G1", "G3", "G4")
    assert drills.drill("kill-queue").proves("nouns").count("G6") == 1


def test_a_drill_that_there_is_not_is_refused_with_the_nearest() -> None:
    with pytest.raises(StackFileError, match="kill-web"):
        drills.drill("kill-wep")
