"""What runs the same release as what it needs waits until that release runs there."""

from __future__ import annotations

from dataclasses import replace

from world import World, process, seen, unit

from millions.model import Goal, Phase, Start, Stop, Trouble, Unit


def stack(release: str, **more: object) -> tuple[Unit, Unit]:
    web = unit("web.1", release, group="web", release=release, handover=True, **more)
    worker = unit("workers.1", release, group="workers", release=release, needs=("web",))
    return web, worker


def test_a_worker_follows_the_web_server_to_a_new_release() -> None:
    world = World()
    old, new = stack("r1"), stack("r2")
    for each in old:
        world.units[each.name] = seen(each, process(each))
    goal = Goal(units=new)
    first = world.plan(goal)
    assert [(type(each), each.unit) for each in first] == [(Start, "web.1")]
    starting = process(new[0], 2, Phase.STARTING, world.now_s)
    world.units["web.1"] = seen(old[0], process(old[0]), starting)
    assert world.plan(goal) == ()
    ready = process(new[0], 2)
    world.units["web.1"] = seen(old[0], process(old[0]), ready)
    assert [(type(each), each.unit) for each in world.plan(goal)] == [
        (Stop, "web.1"),
        (Stop, "workers.1"),
    ]


def test_what_needs_something_without_a_release_waits_for_none() -> None:
    database = unit("database.1", "1")
    web = unit("web.1", "2", release="r2", needs=("database.1",))
    world = World()
    world.units["database.1"] = seen(database, process(database))
    assert [each.unit for each in world.plan(Goal(units=(database, web)))] == ["web.1"]


def test_a_release_that_fails_on_the_web_never_reaches_the_workers() -> None:
    world = World(bad=frozenset({stack("r2")[0].revision}))
    old, new = stack("r1"), stack("r2")
    for each in old:
        world.units[each.name] = seen(each, process(each))
    for _ in range(40):
        world.act(world.plan(Goal(units=new)))
        world.pass_time(2.0)
    running = world.units["workers.1"].processes
    assert [each.spec.release for each in running] == ["r1"]


def test_a_worker_that_ran_its_release_starts_again_before_the_web_server_has_it() -> None:
    (old, worker), (new, _) = stack("r1"), stack("r2")
    worker = replace(worker, release="r2")
    world = World()
    world.units["web.1"] = seen(old, process(old), process(new, 2, Phase.STARTING, world.now_s))
    died = Trouble(revision=worker.revision, failures=1, at_s=world.now_s - 60)
    world.units["workers.1"] = seen(worker, good=worker, troubles=(died,))
    planned = [(each.unit, type(each)) for each in world.plan(Goal(units=(new, worker)))]
    assert ("workers.1", Start) in planned
