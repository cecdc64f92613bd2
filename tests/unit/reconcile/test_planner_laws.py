"""Laws of the planner, for any stack, any former state and any crashes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from world import World, preparations, unit

from millions.model import (
    Action,
    Erase,
    Goal,
    Observed,
    Phase,
    Prepare,
    Process,
    Seen,
    Start,
    Stop,
    Unit,
)
from millions.reconcile.plan import plan, verdicts

EXAMPLES = 60
"""Of each law; the whole folder has to stay quick. Raise it to search longer."""

ROUNDS_MAX = 120
"""Enough for six units in a row, each prepared twice, replaced, with backoff in between."""


@st.composite
def stacks(draw: st.DrawFn) -> tuple[Unit, ...]:
    """Up to six units, each needing some of those before it."""
    names = ["a", "b", "c", "d", "e", "f"][: draw(st.integers(1, 6))]
    chosen: list[Unit] = []
    for name in names:
        earlier = [each.name for each in chosen]
        needs = draw(st.lists(st.sampled_from(earlier), unique=True)) if earlier else []
        if draw(st.booleans()) or not chosen:
            keys = draw(st.sampled_from([(), ("one",), ("one", "two")]))
            spec = unit(
                name,
                draw(st.sampled_from("12")),
                needs=tuple(needs),
                handover=draw(st.booleans()),
                holds_data=draw(st.booleans()),
                prepare=preparations(*keys),
            )
            chosen.append(spec)
    return tuple(chosen)


@st.composite
def histories(draw: st.DrawFn) -> list[Goal]:
    """What is wanted, one after the other."""
    goals: list[Goal] = []
    for _ in range(draw(st.integers(1, 4))):
        consent = draw(st.lists(st.sampled_from("abcdef"), unique=True, max_size=2))
        goals.append(Goal(units=draw(stacks()), consent=tuple(consent)))
    return goals


def settle(world: World, goal: Goal, watch: list[tuple[Action, Observed]] | None = None) -> None:
    """Rounds until the plan is empty and nothing moves; fails when that never happens."""
    for _ in range(ROUNDS_MAX):
        before = world.observed()
        actions = world.plan(goal)
        if watch is not None:
            watch += [(action, before) for action in actions]
        world.act(actions)
        world.pass_time(2.0)
        if not actions and before == Observed(now_s=before.now_s, units=world.observed().units):
            return
    pytest.fail(f"no end after {ROUNDS_MAX} rounds: {world.plan(goal)}")


def lived(world: World, goals: list[Goal], data: st.DataObject) -> list[tuple[Action, Observed]]:
    """Go through all goals, some of them broken off in the middle, with crashes in between."""
    watch: list[tuple[Action, Observed]] = []
    for goal in goals:
        world.new_generation()
        for _ in range(data.draw(st.integers(0, 6), label="rounds")):
            before = world.observed()
            actions = world.plan(goal)
            watch += [(action, before) for action in actions]
            world.act(actions)
            if data.draw(st.booleans(), label="time passes"):
                world.pass_time(data.draw(st.sampled_from([0.1, 1.0, 60.0]), label="seconds"))
            running = [(s.name, p.number) for s in world.units.values() for p in s.processes]
            if running and data.draw(st.integers(0, 3), label="crash") == 0:
                world.crash(*data.draw(st.sampled_from(running), label="who"))
    world.new_generation()
    settle(world, goals[-1], watch)
    return watch


def find(observed: Observed, name: str) -> Seen:
    return next((each for each in observed.units if each.name == name), Seen(name=name))


@given(histories(), st.data())
@settings(deadline=None, max_examples=EXAMPLES)
def test_it_converges_and_then_is_empty(goals: list[Goal], data: st.DataObject) -> None:
    world = World()
    lived(world, goals, data)
    goal = goals[-1]
    assert world.plan(goal) == ()
    for each in goal.units:
        (running,) = world.units[each.name].processes
        assert running.phase is Phase.READY
        assert running.spec.revision == each.revision
    wanted = {each.name for each in goal.units}
    assert [s for s in world.units.values() if s.processes and s.name not in wanted] == []
    assert all(each.settled for each in verdicts(goal, world.observed()))


@given(histories(), st.data())
@settings(deadline=None, max_examples=EXAMPLES)
def test_nothing_begins_before_what_it_needs_is_ready(
    goals: list[Goal], data: st.DataObject
) -> None:
    for action, before in lived(World(), goals, data):
        if isinstance(action, Start | Prepare):
            for need in action.spec.needs:
                phases = [each.phase for each in find(before, need).processes]
                assert Phase.READY in phases, f"{action} before {need}"


@given(histories())
@settings(deadline=None, max_examples=EXAMPLES)
def test_nothing_that_holds_data_is_erased_without_consent(goals: list[Goal]) -> None:
    world = World()
    held: set[str] = set()
    for goal in goals:
        world.new_generation()
        wanted = {each.name for each in goal.units}
        held |= {each.name for each in world.units.values() if each.has_data}
        before = len(world.erased)
        settle(world, goal)
        for name in world.erased[before:]:
            assert name in goal.consent
            assert name not in wanted
        for name in held - set(goal.consent) - set(world.erased):
            assert world.units[name].has_data


@given(histories(), st.data())
@settings(deadline=None, max_examples=EXAMPLES)
def test_one_action_for_each_unit_and_no_third_process(
    goals: list[Goal], data: st.DataObject
) -> None:
    world = World()
    for goal in goals:
        world.new_generation()
        for _ in range(data.draw(st.integers(1, 12))):
            actions = world.plan(goal)
            assert len({action.unit for action in actions}) == len(actions)
            for action in actions:
                if isinstance(action, Start):
                    others = find(world.observed(), action.unit).processes
                    assert len(others) <= (1 if action.spec.handover else 0), action
            world.act(actions)
            if data.draw(st.booleans()):
                world.pass_time(0.5)


@given(histories())
@settings(deadline=None, max_examples=EXAMPLES)
def test_what_is_well_and_wanted_is_never_stopped(goals: list[Goal]) -> None:
    world = World()
    for goal in goals:
        wanted = {each.name: each.revision for each in goal.units}
        watch: list[tuple[Action, Observed]] = []
        world.new_generation()
        settle(world, goal, watch)
        for action, before in watch:
            if isinstance(action, Stop):
                (stopped,) = (
                    p for p in find(before, action.unit).processes if p.number == action.number
                )
                well = stopped.phase is Phase.READY
                assert not (well and stopped.spec.revision == wanted.get(action.unit)), action


@given(histories())
@settings(deadline=None, max_examples=EXAMPLES)
def test_a_unit_with_a_handover_serves_at_every_moment(goals: list[Goal]) -> None:
    world = World()
    for goal in goals:
        world.new_generation()
        serving = {each.name for each in goal.units if each.handover and world.ready(each.name)}
        for _ in range(ROUNDS_MAX):
            actions = world.plan(goal)
            if not actions:
                break
            world.act(actions)
            assert [name for name in serving if not world.ready(name)] == []
            world.pass_time(2.0)


@given(histories(), st.data())
@settings(deadline=None, max_examples=EXAMPLES)
def test_a_bad_revision_of_a_handover_ends_with_the_last_good_one(
    goals: list[Goal], data: st.DataObject
) -> None:
    world = World()
    settle(world, goals[0])
    served = {each.name: each.revision for each in goals[0].units if each.handover}
    if not served:
        return
    name = data.draw(st.sampled_from(sorted(served)))
    units = tuple(
        unit(name, "bad", needs=each.needs, handover=True, prepare=each.prepare)
        if each.name == name
        else each
        for each in goals[0].units
    )
    world.bad = frozenset(each.revision for each in units if each.name == name)
    goal = Goal(units=units)
    settle(world, goal)
    assert [each.spec.revision for each in world.ready(name)] == [served[name]]
    said = {each.unit: each for each in verdicts(goal, world.observed())}
    assert said[name].failed
    assert not said[name].settled


@given(histories())
@settings(deadline=None, max_examples=EXAMPLES)
def test_users_go_before_what_they_use(goals: list[Goal]) -> None:
    world = World()
    settle(world, goals[0])
    watch: list[tuple[Action, Observed]] = []
    settle(world, Goal(), watch)
    for action, before in watch:
        if isinstance(action, Stop):
            users: list[Process] = [
                process
                for each in before.units
                if each.name != action.unit
                for process in each.processes
                if action.unit in process.spec.needs
            ]
            assert users == [], action
    assert all(not each.processes for each in world.units.values())


@given(histories())
@settings(deadline=None, max_examples=EXAMPLES)
def test_equal_arguments_give_equal_plans(goals: list[Goal]) -> None:
    world = World()
    for goal in goals:
        assert plan(goal, world.observed()) == plan(goal, world.observed())
        world.act(world.plan(goal))
        world.pass_time()
    assert all(not isinstance(each, Erase) for each in world.plan(Goal(units=goals[-1].units)))


class Name(str):
    """A name that counts how often it is looked up."""

    __slots__ = ()
    looks = 0

    def __hash__(self) -> int:
        Name.looks += 1
        return str.__hash__(self)


def chain(count: int) -> tuple[Unit, ...]:
    """Units in groups of ten, each needing the one before it in its group."""
    return tuple(
        unit(
            Name(f"u{at}"),
            needs=(Name(f"u{at - 1}"),) if at % 10 else (),
            prepare=preparations("one"),
        )
        for at in range(count)
    )


def looks_of_planning(goal: Goal, observed: Observed) -> int:
    """How often the planner looks something up by the name of a unit."""
    before = Name.looks
    plan(goal, observed)
    return Name.looks - before


@pytest.mark.parametrize("runs", [False, True], ids=["nothing runs", "all runs"])
def test_its_work_grows_in_proportion_to_the_units(*, runs: bool) -> None:
    counts = {}
    for size in (500, 1000, 2000):
        goal = Goal(units=chain(size))
        world = World()
        if runs:
            settle(world, goal)
        counts[size] = looks_of_planning(goal, world.observed())
    assert counts[1000] <= 2.05 * counts[500]
    assert counts[2000] <= 2.05 * counts[1000]
    assert 2000 <= counts[2000] <= 60 * 2000
