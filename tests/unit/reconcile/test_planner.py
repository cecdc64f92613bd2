"""What the planner does in the cases that people meet, as the text that `millions plan` prints."""

from __future__ import annotations

from dataclasses import replace

import pytest
from world import ANYWHERE, preparations, process, seen, unit

from millions.model import (
    File,
    Goal,
    Observed,
    Phase,
    Pool,
    Seen,
    Server,
    Stop,
    StopStep,
    Trouble,
    Unit,
)
from millions.reconcile.plan import Verdict, plan, text, verdicts

NOW_S = 1000.0
STOPS = (StopStep(signal="SIGTERM", wait_s=1.0),)
OLD = unit(version="1", release="r1-old", handover=True)
NEW = unit(version="2", release="r2-new", handover=True)


def planned(*units: Unit, of: tuple[Seen, ...] = (), consent: tuple[str, ...] = ()) -> str:
    return text(plan(Goal(units=units, consent=consent), Observed(now_s=NOW_S, units=of)))


def said(one: Unit, found: Seen) -> Verdict:
    (verdict,) = verdicts(Goal(units=(one,)), Observed(now_s=NOW_S, units=(found,)))
    return verdict


def died(spec: Unit, *, failures: int = 1, ago_s: float = 100.0, grave: bool = False) -> Trouble:
    return Trouble(
        revision=spec.revision,
        failures=failures,
        at_s=NOW_S - ago_s,
        grave=grave,
        words="exited with status 1\nTraceback",
    )


def test_what_does_not_run_is_started() -> None:
    assert planned(OLD) == "start web r1-old: nothing of it runs"


def test_what_was_not_prepared_is_prepared_first_one_step_at_a_time() -> None:
    spec = unit(prepare=preparations("initdb", "migrate"))
    assert planned(spec).startswith("prepare web initdb: it was not done yet")
    half = Seen(name="web", prepared=frozenset({"initdb"}))
    assert planned(spec, of=(half,)).startswith("prepare web migrate:")
    done = Seen(name="web", prepared=frozenset({"initdb", "migrate"}))
    assert planned(spec, of=(done,)).startswith("start web")


def test_what_needs_another_waits_until_that_is_ready() -> None:
    database, web = unit("db"), unit("web", needs=("db",))
    assert planned(web, database).startswith("start db")
    starting = seen(database, process(database, phase=Phase.STARTING, since_s=NOW_S))
    assert planned(web, database, of=(starting,)) == ""
    ready = seen(database, process(database))
    assert planned(web, database, of=(ready,)).startswith("start web")


def test_what_needs_something_that_is_not_there_never_starts_and_says_so() -> None:
    web = unit("web", needs=("nothing",))
    assert planned(web) == ""
    assert said(web, Seen(name="web")).waits == "waits for nothing"


def test_a_changed_unit_is_stopped_before_its_successor_starts() -> None:
    old, new = unit("db", "1"), unit("db", "2")
    assert planned(new, of=(seen(old, process(old)),)) == f"stop db #1: {new.revision} is wanted"


def test_a_changed_unit_is_not_stopped_while_its_successor_could_not_start() -> None:
    old, new = unit("web", "1"), unit("web", "2", needs=("db",))
    assert planned(new, of=(seen(old, process(old)),)) == ""


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({}, "is wanted; its daemon goes on"),
        ({"keep": "other settings"}, "is wanted"),
        ({"keep": ""}, "is wanted"),
        ({"daemon": "another file"}, "is wanted"),
        ({"prepare": preparations("roles")}, "is wanted"),
    ],
)
def test_a_daemon_goes_on_under_a_successor_that_keeps_it_and_has_nothing_to_prepare(
    change: dict[str, object], why: str
) -> None:
    old = unit(version="1", daemon="pid", keep="settings")
    new = replace(unit(version="2", daemon="pid", keep="settings"), **change)  # type: ignore[arg-type]
    assert planned(new, of=(seen(old, process(old)),)) == f"stop web #1: {new.revision} {why}"


def test_a_changed_probe_restarts_nothing() -> None:
    old = unit("db", "1")
    assert planned(unit("db", "1", stop=STOPS), of=(seen(old, process(old)),)) == ""


def test_a_handover_starts_the_new_one_first_and_then_drains_the_old_one() -> None:
    serving = process(OLD)
    assert planned(NEW, of=(seen(OLD, serving, good=OLD),)) == "start web r2-new: replaces r1-old"
    starting = process(NEW, 2, Phase.STARTING, NOW_S)
    assert planned(NEW, of=(seen(OLD, serving, starting, good=OLD),)) == ""
    ready = process(NEW, 2)
    found = seen(OLD, serving, ready, good=NEW)
    assert planned(NEW, of=(found,)) == "stop web #1: r2-new is ready"


def test_a_new_release_that_is_late_is_stopped_and_the_old_one_stays() -> None:
    late = process(NEW, 2, Phase.STARTING, NOW_S - 31.0)
    found = seen(OLD, process(OLD), late, good=OLD)
    assert planned(NEW, of=(found,)) == "stop web #2: was not ready within 30 s"


def test_a_release_that_failed_is_not_tried_again_and_is_told() -> None:
    found = seen(OLD, process(OLD), good=OLD, troubles=(died(NEW),))
    assert planned(NEW, of=(found,)) == ""
    assert said(NEW, found).failed


def test_the_old_release_is_started_again_when_it_dies_after_the_new_one_failed() -> None:
    found = seen(OLD, good=OLD, troubles=(died(NEW), died(OLD)))
    assert planned(NEW, of=(found,)).startswith("start web r1-old: failure 1 in a row")


def test_the_old_release_is_started_again_when_it_dies_while_the_new_one_starts() -> None:
    starting = process(NEW, 2, Phase.STARTING, NOW_S)
    found = seen(OLD, starting, good=OLD, troubles=(died(OLD),))
    assert planned(NEW, of=(found,)).startswith("start web r1-old")


def test_the_old_release_is_started_again_when_it_dies_while_a_migration_runs() -> None:
    found = seen(OLD, good=OLD, troubles=(died(OLD),), busy=True)
    assert planned(NEW, of=(found,)).startswith("start web r1-old")


def test_a_release_that_failed_is_tried_when_there_is_none_before_it() -> None:
    found = seen(NEW, troubles=(died(NEW, ago_s=0.0),))
    assert planned(NEW, of=(found,)).startswith("start web r2-new: failure 1 in a row: exited")


def test_a_unit_that_keeps_dying_waits_longer_each_time_and_is_told() -> None:
    found = seen(OLD, troubles=(died(OLD, failures=4, ago_s=1.9),))
    assert planned(OLD, of=(found,)) == ""
    verdict = said(OLD, found)
    assert verdict.failed
    assert verdict.next_start_at_s == NOW_S - 1.9 + 2.0
    later = seen(OLD, troubles=(died(OLD, failures=4, ago_s=2.1),))
    assert planned(OLD, of=(later,)).startswith("start web r1-old: failure 4 in a row")


def test_a_grave_failure_is_told_at_once() -> None:
    assert said(OLD, seen(OLD, troubles=(died(OLD, grave=True, ago_s=0.0),))).failed
    assert not said(OLD, seen(OLD, troubles=(died(OLD, ago_s=0.0),))).failed


def test_a_process_that_does_not_answer_is_replaced_when_what_it_needs_is_ready() -> None:
    database, web = unit("db"), unit("web", needs=("db",))
    silent = seen(web, process(web, phase=Phase.UNREADY, since_s=NOW_S - 31.0))
    ready = seen(database, process(database))
    assert planned(database, web, of=(ready, silent)) == (
        "stop web #1: has not answered within 30 s"
    )
    gone = seen(database, process(database, phase=Phase.UNREADY, since_s=NOW_S))
    assert planned(database, web, of=(gone, silent)) == ""


def test_what_holds_data_is_never_stopped_for_being_slow() -> None:
    spec = unit("db", holds_data=True)
    for phase in (Phase.STARTING, Phase.UNREADY):
        slow = seen(spec, process(spec, phase=phase, since_s=0.0))
        assert planned(spec, of=(slow,)) == ""
    assert said(spec, seen(spec, process(spec, phase=Phase.STARTING))).failed


@pytest.mark.parametrize(
    ("hung_after", "silent", "said"),
    [
        (6, 6, "stop db #1: has not answered 6 questions in a row"),
        (6, 7, "stop db #1: has not answered 7 questions in a row"),
        (6, 5, ""),
        (0, 100, ""),
    ],
    ids=["hung", "hung for longer", "slow", "never"],
)
def test_what_holds_data_is_replaced_once_it_hangs_where_its_probe_says_when(
    hung_after: int, silent: int, said: str
) -> None:
    bare = unit("db", holds_data=True)
    assert bare.probe is not None
    spec = replace(bare, probe=replace(bare.probe, hung_after=hung_after))
    assert spec.revision == bare.revision
    hung = replace(process(spec, phase=Phase.UNREADY), silent=silent)
    assert planned(spec, of=(seen(spec, hung),)) == said
    recovers = replace(hung, phase=Phase.STARTING)
    assert planned(spec, of=(seen(spec, recovers),)) == ""


def test_what_hangs_and_holds_no_data_is_killed_at_once() -> None:
    for holds_data in (False, True):
        bare = unit("edge", holds_data=holds_data, stop=STOPS)
        assert bare.probe is not None
        spec = replace(bare, probe=replace(bare.probe, hung_after=3))
        hung = replace(process(spec, phase=Phase.UNREADY, since_s=NOW_S), silent=3)
        (stop,) = plan(Goal(units=(spec,)), Observed(now_s=NOW_S, units=(seen(spec, hung),)))
        assert isinstance(stop, Stop)
        assert stop.steps == (STOPS if holds_data else ())


def test_what_is_not_wanted_is_stopped_and_forgotten() -> None:
    assert planned(of=(seen(OLD, process(OLD)),)) == "stop web #1: not wanted"
    assert planned(of=(seen(OLD, process(OLD, phase=Phase.STOPPING)),)) == ""
    assert planned(of=(Seen(name="web"),)) == "forget web: not wanted"


def test_data_is_kept_without_consent_and_erased_with_it() -> None:
    found = Seen(name="db", has_data=True)
    assert planned(of=(found,)) == ""
    assert planned(of=(found,), consent=("db",)) == "erase db: not wanted, and you consented"


def test_consent_erases_nothing_that_is_wanted_or_runs() -> None:
    spec = unit("db", holds_data=True)
    running = seen(spec, process(spec), has_data=True)
    assert planned(spec, of=(running,), consent=("db",)) == ""
    assert planned(of=(running,), consent=("db",)) == "stop db #1: not wanted"


def test_units_that_are_not_wanted_and_use_each_other_in_a_ring_are_stopped() -> None:
    one, two = unit("one", needs=("two",)), unit("two", needs=("one",))
    found = (seen(one, process(one)), seen(two, process(two)))
    assert planned(of=found) == "stop one #1: not wanted\nstop two #1: not wanted"


def test_a_third_release_waits_until_the_first_one_is_gone() -> None:
    third = unit(version="3", release="r3", handover=True)
    draining, ready = process(OLD, phase=Phase.STOPPING), process(NEW, 2)
    found = seen(OLD, draining, ready, good=NEW)
    assert planned(third, of=(found,)) == ""
    assert planned(third, of=(seen(NEW, ready, good=NEW),)).startswith("start web r3")


def group(version: str, *phases: Phase | None) -> tuple[tuple[Unit, ...], tuple[Seen, ...]]:
    """Members a.1, a.2, … of a group at `version`, and how they run at version 1."""
    units, found = [], []
    for number, phase in enumerate(phases, start=1):
        mine = (("NAME", str(number)),)
        old, new = (
            unit(f"a.{number}", each, group="a", environment=mine) for each in ("1", version)
        )
        units.append(new)
        running = () if phase is None else (process(old, phase=phase, since_s=NOW_S),)
        found.append(seen(old, *running))
    return tuple(units), tuple(found)


def test_members_of_a_group_are_replaced_in_their_order() -> None:
    units, found = group("2", Phase.READY, Phase.READY, Phase.READY)
    assert planned(*units, of=found) == f"stop a.1 #1: {units[0].revision} is wanted"
    said = verdicts(Goal(units=units), Observed(now_s=NOW_S, units=found))
    assert [each.waits for each in said[1:]] == ["waits for a.1: one of a at a time"] * 2


def test_nobody_of_a_group_is_replaced_while_another_one_starts() -> None:
    units, found = group("2", Phase.READY, Phase.READY)
    starting = seen(units[0], process(units[0], phase=Phase.STARTING, since_s=NOW_S))
    assert planned(*units, of=(starting, found[1])) == ""


def test_a_need_that_names_a_group_is_met_by_enough_of_its_members() -> None:
    user = unit("web", needs=("a",))
    units, found = group("1", Phase.READY, Phase.STARTING, Phase.STARTING)
    two = tuple(replace(each, group_least=2) for each in units)
    assert planned(*units, user, of=found) == f"start web {user.revision}: nothing of it runs"
    assert planned(*two, user, of=found) == ""


def test_who_died_is_back_before_the_members_that_were_missing_when_it_served() -> None:
    user = unit("web", needs=("a",))
    units, found = group("1", Phase.READY, Phase.STARTING, Phase.STARTING)
    two = tuple(replace(each, group_least=2) for each in units)
    served = seen(user, good=user, troubles=(died(user),))
    why = "failure 1 in a row: exited with status 1"
    assert planned(*two, user, of=(*found, served)) == f"start web {user.revision}: {why}"
    never_ready = replace(served, good=None)
    assert planned(*two, user, of=(*found, never_ready)) == ""
    nobody = tuple(replace(each, processes=()) for each in found)
    assert "start web" not in planned(*two, user, of=(*nobody, served))


def test_the_rest_of_a_group_stays_behind_when_one_has_failed() -> None:
    old = [unit(f"a.{each}", "1", group="a", handover=True, release="r1") for each in (1, 2)]
    new = [replace(each, command=("run", "2"), release="r2") for each in old]
    found = [seen(each, process(each), good=each) for each in old]
    failed = replace(found[0], troubles=(died(new[0]),))
    assert planned(*new, of=(failed, found[1])) == ""
    one, two = verdicts(Goal(units=tuple(new)), Observed(now_s=NOW_S, units=(failed, found[1])))
    assert (one.failed, two.failed, two.settled) == (True, False, False)
    assert two.waits == "stays as it is: another one of a failed"


def balanced(*servers: str, file: str = "x") -> Unit:
    pool = Pool(
        socket="s",
        backend="b",
        options="check",
        servers=tuple(Server(unit=each, address=ANYWHERE) for each in servers),
    )
    files = (File(path="cfg", content=file),)
    return unit("l", files=files, reload="SIGUSR2", pool=pool)


def test_a_running_balancer_is_told_who_joins_and_who_leaves() -> None:
    one, two, three = (unit(each, address=ANYWHERE) for each in ("one", "two", "three"))
    found = [seen(each, process(each)) for each in (one, two, three)]
    old = balanced("one", "two")
    running = seen(old, process(old))
    wanted = balanced("two", "three")
    assert planned(one, two, three, wanted, of=(*found, running)) == (
        "share l: three joins, one leaves"
    )
    assert planned(two, three, wanted, of=(*found, running)) == (
        "share l: three joins, one leaves"  # one is not stopped before it has left
    )
    changed = balanced("two", "three", file="y")
    assert planned(one, two, three, changed, of=(*found, running)) == "reload l: its files changed"


def test_a_balancer_that_refuses_its_files_is_told_again_later() -> None:
    one, old, bad = unit("one", address=ANYWHERE), balanced("one"), balanced("one", file="bad")
    refused = Trouble(revision=bad.revision, failures=2, at_s=NOW_S - 0.1, grave=True, words="no")
    found = (seen(one, process(one)), seen(old, process(old), troubles=(refused,)))
    assert planned(one, bad, of=found) == ""
    _, verdict = verdicts(Goal(units=(one, bad)), Observed(now_s=NOW_S, units=found))
    assert verdict.failed
    assert not verdict.settled
    assert verdict.next_start_at_s is not None
    assert planned(one, old, of=found) == ""


def test_a_server_that_is_replaced_leaves_the_pool_first() -> None:
    old, other = unit("one", address=ANYWHERE), unit("two", address=ANYWHERE)
    new = replace(old, command=("run", "2"))
    balancer = balanced("one", "two")
    found = (
        seen(old, process(old)),
        seen(other, process(other)),
        seen(balancer, process(balancer)),
    )
    assert planned(new, other, balancer, of=found) == "share l: one leaves"
    told = balanced("two")
    after = (*found[:2], seen(balancer, process(told)))
    assert planned(new, other, balancer, of=after) == f"stop one #1: {new.revision} is wanted"


def test_the_only_server_of_a_backend_stays_whatever_servers_others_have() -> None:
    old, other = unit("one", address=ANYWHERE), unit("two", address=ANYWHERE)
    new = replace(old, command=("run", "2"))
    whole = balanced("one", "two")
    assert whole.pool is not None
    first, second = whole.pool.servers
    servers = (first, replace(second, backend="elsewhere"))
    balancer = replace(whole, pool=replace(whole.pool, servers=servers))
    found = (
        seen(old, process(old)),
        seen(other, process(other)),
        seen(balancer, process(balancer)),
    )
    assert planned(new, other, balancer, of=found) == f"stop one #1: {new.revision} is wanted"
