"""Laws of groups and pools, for any sizes, any former state and any crashes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from world import World, preparations, process, unit

from millions.model import (
    Action,
    Address,
    File,
    Goal,
    Observed,
    Phase,
    Pool,
    Prepare,
    Process,
    Reload,
    Seen,
    Server,
    Share,
    Start,
    Stop,
    Unit,
)
from millions.reconcile.plan import verdicts
from millions.reconcile.rollout import has_run

EXAMPLES = 25
"""Of each law; the whole folder has to stay quick. Raise it to search longer."""

ROUNDS_MAX = 250
"""Enough for three groups of three members, replaced one after the other, with backoff between."""


OUTSIDE = Address(host="127.0.0.1", port=80)
"""Where people connect."""


@dataclass(frozen=True, kw_only=True)
class Round:
    """What was planned, and for what."""

    goal: Goal
    before: Observed
    actions: tuple[Action, ...]


def member(group: str, number: int, version: str, **more: object) -> Unit:
    name = f"{group}.{number}"
    return unit(name, version, group=group, public=(at(name),), **more)


def at(name: str) -> Address:
    """The address of a member."""
    group, number = name.split(".")
    return Address(host=f"127.1.{ord(group)}.{number}", port=1)


def balancer(file: str, servers: tuple[Unit, ...], **more: object) -> Unit:
    pool = Pool(
        socket="{run}/l",
        backend="b",
        options="check",
        servers=tuple(Server(unit=each.name, address=at(each.name)) for each in servers),
    )
    files = (File(path="l.cfg", content=file),)
    return unit("l.1", needs=("b",), files=files, reload="SIGUSR2", pool=pool, **more)


@st.composite
def stacks(draw: st.DrawFn, handovers: dict[str, bool]) -> tuple[Unit, ...]:
    """A group, another one that needs it, and a balancer before that."""
    units: list[Unit] = []
    for group, needs in (("a", ()), ("b", ("a",))):
        count = draw(st.integers(1, 3), label=f"members of {group}")
        least = draw(st.integers(1, count))
        version = draw(st.sampled_from("12"))
        keys = draw(st.sampled_from([(), ("one",), (f"of {version}",)]))
        prepare = preparations(*keys, shared=draw(st.booleans()))
        units += [
            member(
                group,
                each,
                version,
                needs=needs,
                group_least=least,
                handover=handovers[group],
                holds_data=draw(st.booleans()),
                prepare=prepare,
            )
            for each in range(1, count + 1)
        ]
    if draw(st.booleans()):
        servers = tuple(each for each in units if each.group == "b")
        file = draw(st.sampled_from("xy"))
        release = draw(st.sampled_from(["", "new"]))
        units.append(balancer(file, servers, release=release, public=(OUTSIDE,)))
    else:  # without a balancer people connect to the first of them
        units = [replace(u, public=(OUTSIDE,)) if u.name == "b.1" else u for u in units]
    return tuple(draw(st.permutations(units)))


@st.composite
def histories(draw: st.DrawFn) -> list[Goal]:
    """What is wanted, one after the other. Whether a group hands over stays the same."""
    handovers = {"a": draw(st.booleans()), "b": draw(st.booleans())}
    return [Goal(units=draw(stacks(handovers))) for _ in range(draw(st.integers(1, 4)))]


def settle(world: World, goal: Goal, watch: list[Round]) -> None:
    for _ in range(ROUNDS_MAX):
        actions = world.plan(goal)
        before = world.observed()
        watch.append(Round(goal=goal, before=before, actions=actions))
        world.act(actions)
        world.pass_time(2.0)
        if not actions and before.units == world.observed().units:
            return
    said = [f"{v.unit}: {v.action or v.waits}" for v in verdicts(goal, world.observed())]
    pytest.fail(f"no end after {ROUNDS_MAX} rounds: {said}")


def lived(world: World, goals: list[Goal], data: st.DataObject) -> list[Round]:
    """Go through all goals, some of them broken off in the middle, with crashes in between."""
    watch: list[Round] = []
    for goal in goals:
        world.new_generation()
        for _ in range(data.draw(st.integers(0, 8), label="rounds")):
            actions = world.plan(goal)
            watch.append(Round(goal=goal, before=world.observed(), actions=actions))
            world.act(actions)
            if data.draw(st.booleans(), label="time passes"):
                world.pass_time(data.draw(st.sampled_from([0.1, 1.0, 60.0]), label="seconds"))
            running = [(s.name, p.number) for s in world.units.values() for p in s.processes]
            if running and data.draw(st.integers(0, 4), label="crash") == 0:
                world.crash(*data.draw(st.sampled_from(running), label="who"))
    world.new_generation()
    settle(world, goals[-1], watch)
    return watch


def find(observed: Observed, name: str) -> Seen:
    return next((each for each in observed.units if each.name == name), Seen(name=name))


def is_ready(observed: Observed, name: str) -> bool:
    return any(each.phase is Phase.READY for each in find(observed, name).processes)


def group_of(goal: Goal, name: str) -> list[str]:
    groups = {each.name: each.group for each in goal.units}
    return [each for each in groups if groups[each] == groups.get(name)]


def stopped(action: Stop, before: Observed) -> Process:
    return next(p for p in find(before, action.unit).processes if p.number == action.number)


@given(histories(), st.data())
@settings(deadline=None, max_examples=EXAMPLES)
def test_groups_and_pools_converge_to_what_is_wanted(
    goals: list[Goal], data: st.DataObject
) -> None:
    world = World()
    lived(world, goals, data)
    goal = goals[-1]
    assert world.plan(goal) == ()
    for each in goal.units:
        (running,) = world.units[each.name].processes
        assert running.phase is Phase.READY
        assert (running.spec.revision, running.spec.files) == (each.revision, each.files)
        assert running.spec.pool == each.pool
    assert {s.name for s in world.units.values() if s.processes} == {u.name for u in goal.units}
    assert all(each.settled for each in verdicts(goal, world.observed()))


@given(histories(), st.data())
@settings(deadline=None, max_examples=EXAMPLES)
def test_nothing_begins_before_enough_of_what_it_needs_is_ready(
    goals: list[Goal], data: st.DataObject
) -> None:
    for each in lived(World(), goals, data):
        for action in each.actions:
            if isinstance(action, Start | Prepare):
                again = has_run(find(each.before, action.unit), action.spec.revision)
                for need in action.spec.needs:
                    members = [unit for unit in each.goal.units if unit.group == need]
                    ready = [unit for unit in members if is_ready(each.before, unit.name)]
                    least = 1 if again else members[0].group_least
                    assert len(ready) >= least, f"{action} before {need}"


@given(histories(), st.data())
@settings(deadline=None, max_examples=EXAMPLES)
def test_a_ready_member_is_replaced_only_while_all_others_are_ready(
    goals: list[Goal], data: st.DataObject
) -> None:
    for each in lived(World(), goals, data):
        replaced: dict[str, Action] = {}
        wanted = {unit.name: unit for unit in each.goal.units}
        for action in each.actions:
            if action.unit not in wanted or not is_ready(each.before, action.unit):
                continue
            begins = isinstance(action, Start)
            if isinstance(action, Stop) and not action.failed:
                process = stopped(action, each.before)
                begins = (
                    process.phase is Phase.READY
                    and process.spec.revision != wanted[action.unit].revision
                    and not wanted[action.unit].handover
                )
            if not begins:
                continue
            group = wanted[action.unit].group
            assert not group or group not in replaced, (action, replaced[group])
            replaced[group] = action
            for other in group_of(each.goal, action.unit):
                assert not group or is_ready(each.before, other), f"{action} without {other}"


@given(histories(), st.data())
@settings(deadline=None, max_examples=EXAMPLES)
def test_members_of_a_group_are_prepared_one_after_the_other(
    goals: list[Goal], data: st.DataObject
) -> None:
    for each in lived(World(), goals, data):
        groups = {unit.name: unit.group for unit in each.goal.units}
        busy = [groups.get(seen.name) for seen in each.before.units if seen.busy]
        begun = [groups[a.unit] for a in each.actions if isinstance(a, Prepare) and groups[a.unit]]
        assert len(begun) == len(set(begun))
        assert not set(begun) & set(busy)


@given(histories(), st.data())
@settings(deadline=None, max_examples=EXAMPLES)
def test_a_server_joins_when_it_is_ready_and_leaves_before_it_stops(
    goals: list[Goal], data: st.DataObject
) -> None:
    for each in lived(World(), goals, data):
        for action in each.actions:
            if isinstance(action, Start | Reload | Share) and action.spec.pool is not None:
                old = find(each.before, action.unit).processes
                known = {s.unit for p in old if p.spec.pool for s in p.spec.pool.servers}
                for server in action.spec.pool.servers:
                    joins = server.unit not in known or isinstance(action, Start)
                    assert not joins or is_ready(each.before, server.unit), f"{action}"
            if isinstance(action, Stop) and not action.failed:
                drained(each, action)


def drained(each: Round, action: Stop) -> None:
    """Fail when a unit is stopped to which a balancer still sends requests."""
    wanted = {unit.name: unit for unit in each.goal.units}
    process = stopped(action, each.before)
    hands_over = action.unit in wanted and wanted[action.unit].handover
    if hands_over or process.phase is not Phase.READY:
        return
    stopping = {a.unit for a in each.actions if isinstance(a, Stop)}
    for seen in each.before.units:
        for other in seen.processes:
            servers = other.spec.pool.servers if other.spec.pool is not None else ()
            names = {server.unit for server in servers}
            stay = [n for n in names - stopping if n in wanted and is_ready(each.before, n)]
            alone = action.unit in wanted and not stay
            assert action.unit not in names or alone, f"{action} while {seen.name} uses it"


@pytest.mark.parametrize("handover", [True, False], ids=["handover", "stop first"])
@pytest.mark.parametrize("broken", [0, 1, 2])
def test_a_bad_revision_costs_a_group_one_member_at_most_and_is_mended_by_the_next(
    broken: int, *, handover: bool
) -> None:
    def group(version: str) -> Goal:
        return Goal(
            units=tuple(
                member("a", each, version, handover=handover, group_least=2) for each in (1, 2, 3)
            )
        )

    world = World()
    settle(world, group("1"), [])
    bad = group("bad")
    world.bad = frozenset({bad.units[broken].revision})
    world.new_generation()
    for _ in range(40):
        world.act(world.plan(bad))
        served = [name for name in ("a.1", "a.2", "a.3") if world.ready(name)]
        assert len(served) >= (3 if handover else 2)
        world.pass_time(2.0)
    versions = [p.spec.command[1] for each in ("a.1", "a.2", "a.3") for p in world.ready(each)]
    left = ["1"] if handover else []
    assert versions == ["bad"] * broken + left + ["1"] * (2 - broken)
    world.new_generation()
    settle(world, group("3"), [])
    assert [p.spec.command[1] for p in world.ready("a.1") + world.ready("a.3")] == ["3", "3"]


def test_a_member_that_is_not_ready_is_replaced_although_others_are_not_ready_either() -> None:
    old = [member("a", each, "1") for each in (1, 2, 3)]
    goal = Goal(units=tuple(member("a", each, "2") for each in (1, 2, 3)))
    world = World(
        units={
            each.name: Seen(
                name=each.name,
                processes=(process(each, 1, Phase.READY if each is old[0] else Phase.UNREADY),),
            )
            for each in old
        }
    )
    assert {action.unit for action in world.plan(goal)} == {"a.2", "a.3"}
    settle(world, goal, [])


def test_a_server_that_moves_is_asked_where_it_was_until_it_answers_where_it_will_be() -> None:
    a, one = member("a", 1, "1"), member("b", 1, "1", handover=True)
    before, there = balancer("x", (one,)), Address(host="127.1.1.2", port=2)
    assert before.pool is not None
    moved = replace(one, public=(there,))
    server = Server(unit="b.1", address=there)
    after = replace(before, pool=replace(before.pool, servers=(server,)))
    world, goal = World(), Goal(units=(a, moved, after))
    settle(world, Goal(units=(a, one, before)), [])
    watch: list[Round] = []
    settle(world, goal, watch)
    said = [str(action) for each in watch for action in each.actions]
    assert said == [
        f"start b.1 {moved.revision}: replaces {one.revision}",
        "share l.1: b.1 changes",
        f"stop b.1 #2: {moved.revision} is ready",
    ]


def test_an_address_goes_to_another_unit_and_back_without_a_moment_in_which_nobody_has_it() -> None:
    a = member("a", 1, "1")
    alone = replace(member("b", 1, "1", handover=True), public=(OUTSIDE,))
    behind, second = member("b", 1, "1", handover=True), member("b", 2, "1", handover=True)
    before = replace(balancer("x", (behind, second)), public=(OUTSIDE,))
    world = World()
    small, large = Goal(units=(a, alone)), Goal(units=(a, behind, second, before))
    settle(world, small, [])
    for goal in (large, small, large):
        world.new_generation()
        watch: list[Round] = []
        settle(world, goal, watch)
        for each in watch:
            ready = [
                process.spec
                for seen in each.before.units
                for process in seen.processes
                if process.phase is Phase.READY
            ]
            served = {address for spec in ready for address in spec.public}
            assert OUTSIDE in served
            for pool in (spec.pool for spec in ready if spec.pool is not None):
                assert served & {server.address for server in pool.servers}
