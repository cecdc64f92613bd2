"""Steps from any stack to any other: laws, and the steps of the whole way."""

from __future__ import annotations

import dataclasses
import itertools
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millions import rungs, stack
from millions.climb import steps as climb
from millions.climb.differences import touches
from millions.climb.steps import BACK, Kind, Step
from millions.model import Unit
from millions.tiers import tiers

if TYPE_CHECKING:
    from millions.stack import Stack

APP = '[app]\nname = "photos"\nweb = "photos.web:app"\n'
EXTRAS = (
    "[cache]\nservers = 1\n",
    "[store]\nservers = 1\n",
    "[files]\nservers = 2\n",
    "[web]\ndrain_s = 5\n",
    "[database]\nmemory_mib = 64\nserver = 2\n",
    "[backup]\n",
    "[workers]\n",
)
TEXTS = st.builds(
    lambda rung, extras: f"rung = {rung}\n{APP}" + "".join(extras),
    st.sampled_from(sorted(rungs.BUILT)),
    st.lists(st.sampled_from(EXTRAS), unique=True),
)


def all_steps(origin: str, target: str) -> tuple[Step, ...]:
    return climb.along(climb.way(origin, target))


def seats(found: Stack) -> dict[str, object]:
    """What runs of each tier."""
    return {
        each.name: (
            found.tables.get(each.name),
            found.has_servers(each),
            found.follows_load(each),
            each.name in found.leaving,
        )
        for each in tiers()
    }


@settings(max_examples=25, deadline=None)
@given(TEXTS, TEXTS)
def test_the_steps_end_at_the_target(origin: str, target: str):
    found = all_steps(origin, target)
    after = found[-1].stack if found else stack.parse(origin)
    assert seats(after) == seats(stack.parse(target))
    assert all_steps(target, target) == ()


@settings(max_examples=25, deadline=None)
@given(TEXTS, TEXTS)
def test_a_step_changes_no_tier_but_its_own(origin: str, target: str):
    before = stack.parse(origin)
    for step in all_steps(origin, target):
        one, two = seats(before), seats(step.stack)
        differing = {name for name in one if one[name] != two[name]}
        if step.tier:
            assert differing == {step.tier}, step.name
        before = step.stack


@settings(max_examples=25, deadline=None)
@given(TEXTS, TEXTS)
def test_data_goes_back_before_servers_go(origin: str, target: str):
    before = stack.parse(origin)
    for step in all_steps(origin, target):
        for each in tiers():
            if each.progress and before.has_servers(each) and not step.stack.has_servers(each):
                assert each.name in before.leaving
        before = step.stack


@settings(max_examples=25, deadline=None)
@given(TEXTS, TEXTS)
def test_the_way_back_is_the_reverse(origin: str, target: str):
    if stack.parse(origin).rung == stack.parse(target).rung:
        return  # neither is up
    there, back = all_steps(origin, target), all_steps(target, origin)
    assert plain(there) == plain(back[::-1])


@settings(max_examples=25, deadline=None)
@given(TEXTS, TEXTS)
def test_from_every_step_there_is_a_way_back(origin: str, target: str):
    found = all_steps(origin, target)
    first = stack.parse(origin)
    for step in found:
        back = climb.steps(step.stack, first)
        after = back[-1].stack if back else step.stack
        assert seats(after) == seats(first)


def plain(found: tuple[Step, ...]) -> list[str]:
    return [each.name for each in found if each.kind is not Kind.RETURNS]


def test_the_whole_way_up_and_down():
    low, high = f"rung = 1\n{APP}", f"rung = 9\n{APP}[database]\nserver = 2\n"
    up = all_steps(low, high)
    assert [(each.name, each.rung_to) for each in up] == [
        ("database", 2),
        ("balancer", 3),
        ("backup", 4),
        ("consensus", 4),
        ("cache", 5),
        ("files", 6),
        ("edge", 6),
        ("store", 7),
        ("scaling", 7),
        ("queue", 9),
        ("workers", 9),
    ]
    down = all_steps(high, low)
    assert [each.name for each in down if each.kind is Kind.RETURNS] == ["store-back", "files-back"]
    assert all(each.why and each.undo for each in (*up, *down))


def test_a_step_has_a_name_of_its_own():
    low, high = f"rung = 1\n{APP}", f"rung = 9\n{APP}[database]\nserver = 2\n[web]\ndrain_s = 5\n"
    for ends in itertools.permutations((low, high)):
        names = [each.name for each in all_steps(*ends)]
        assert len(set(names)) == len(names)


@pytest.mark.parametrize("name", [each.name for each in tiers() if each.progress])
def test_a_tier_that_leaves_comes_again(name: str):
    whole = stack.parse(f"rung = 9\n{APP}")
    (leaving,) = (
        each
        for each in climb.steps(whole, stack.parse(f"rung = 1\n{APP}"))
        if each.name == f"{name}{BACK}"
    )
    back = climb.steps(leaving.stack, whole)
    assert name in [each.name for each in back if each.kind is Kind.COMES]


def test_what_a_step_touches_tells_what_is_started_anew_from_what_goes_on():
    alone = Unit(name="database.1", tier="database", command=("alone",), keep="64 MiB")
    member = dataclasses.replace(alone, command=("member",))
    other = Unit(name="consensus.1", tier="consensus", command=("etcd",))
    assert touches([alone], [member, other]) == "starts consensus.1; takes over database.1"
    larger = dataclasses.replace(member, keep="65 MiB")
    changed = dataclasses.replace(larger, command=("another",))
    assert touches([member, other], [changed]) == "replaces database.1; stops consensus.1"
