"""Workers run the web tier's release or an own one; web servers then run no tasks."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from millions import stack
from millions.errors import StackFileError
from millions.tiers.kind import Engine, Places

if TYPE_CHECKING:
    from millions.model import Unit

APP = '[app]\nname = "photos"\nweb = "photos.web:app"\ntasks = "photos.tasks"\n'
PLACES = Places(
    network=7,
    python="/venv/bin/python",
    path="/venv/bin:/usr/bin",
    release="r1-00000000",
    release_folder="/state/releases/r1-00000000",
    secrets_folder="/state/secrets",
    files_folder="/state/files",
    secret_files=(("STRIPE_KEY", "app.STRIPE_KEY.1"),),
    engines=(Engine(name="postgresql", folder="/pg/bin", major=18),),
)


def workers(text: str) -> list[Unit]:
    return [unit for unit in stack.units(stack.parse(APP + text), PLACES) if unit.tier == "workers"]


def test_without_the_table_web_servers_run_the_tasks() -> None:
    assert workers("") == []
    assert stack.directory(stack.parse(APP), PLACES, epoch=1).tasks.embedded


def test_with_it_they_do_not() -> None:
    read = stack.parse(APP + "[workers]\n")
    assert not stack.directory(read, PLACES, epoch=1).tasks.embedded
    web = [next(u for u in stack.units(stack.parse(t), PLACES)) for t in (APP, APP + "[workers]\n")]
    assert web[0].revision != web[1].revision, "a web server that ran tasks is replaced"


def test_each_worker_has_the_release_the_secrets_and_an_address_of_its_own() -> None:
    one, two = workers("[workers]\nservers = 2\n")
    assert (one.name, two.name) == ("workers.1", "workers.2")
    assert one.address != two.address
    assert one.release == PLACES.release
    assert one.secret_environment == PLACES.secret_files
    assert one.command[3:5] == ("photos.web:app", "photos.tasks")


def test_a_release_of_their_own_leaves_the_web_servers_as_they_are() -> None:
    folder = "/state/releases/r2-11111111"
    own = dataclasses.replace(PLACES, own_releases=(("workers", "r2-11111111", folder),))
    read = stack.parse(APP + "[workers]\nservers_max = 3\n")
    (web, *_), (before, *_) = stack.units(read, own), stack.units(read, PLACES)
    assert web == before
    there = [unit for unit in stack.units(read, own) if unit.tier == "workers"]
    assert {unit.release for unit in there} == {"r2-11111111"}
    assert {unit.working_folder for unit in there} == {folder}
    assert {dict(unit.environment)["PYTHONPATH"] for unit in there} == {folder}
    assert [rule.release for rule in stack.scaling(read, own)] == ["r2-11111111"]


def test_queues_and_limits_reach_the_command() -> None:
    (one,) = workers('[workers]\nservers = 1\nqueues = ["mail"]\nlimits = { mail = 2 }\n')
    assert {"--queue=mail", "--limit=mail=2"} <= set(one.command)


def test_the_kernel_holds_a_bound_above_the_one_that_is_watched() -> None:
    (one,) = workers("[workers]\nservers = 1\nmemory_mib = 100\n")
    assert one.limits.memory_mib is not None
    assert one.limits.memory_mib > 100
    assert "--memory-mib=100" in one.command


def test_a_limit_below_one_is_refused() -> None:
    with pytest.raises(StackFileError, match="at least 1"):
        workers("[workers]\nlimits = { mail = 0 }\n")


def test_more_workers_than_the_database_has_connections_for_are_refused() -> None:
    read = stack.parse(APP + "[workers]\nservers = 20\n")
    with pytest.raises(StackFileError, match="the database accepts 160"):
        stack.check(read, PLACES, lambda _unit, _name: None)


def test_their_number_follows_the_oldest_task_only_where_the_stack_file_says_so() -> None:
    assert stack.scaling(stack.parse(APP + "[workers]\nservers = 4\n"), PLACES) == ()
    text = "[workers]\nservers_max = 6\noldest_task_s = 3\nservers_idle_s = 30\n"
    (rule,) = stack.scaling(stack.parse(APP + text), PLACES)
    assert (rule.group, rule.least, rule.most, rule.first) == ("workers", 1, 6, 2)
    assert (rule.target, rule.idle_s, rule.release) == (3.0, 30.0, PLACES.release)
    assert rule.asks, "no balancer knows of tasks"
    assert len(workers(text)) == 6


@pytest.mark.parametrize(
    ("tables", "because"),
    [
        pytest.param(
            "[workers]\nservers_max = 8\n",
            "with 1 web servers, and one more of each during a deploy, they may open 162",
            id="workers",
        ),
        pytest.param(
            "[web]\nservers_max = 7\n[workers]\nservers = 1\n[balancer]\n",
            "with 7 web servers, and one more of each during a deploy, they may open 172",
            id="web servers",
        ),
    ],
)
def test_the_database_has_to_accept_all_that_there_may_be(tables: str, because: str) -> None:
    with pytest.raises(StackFileError, match=because):
        stack.check(stack.parse(APP + tables), PLACES, lambda _unit, _name: None)


def test_bounds_the_wrong_way_round_are_refused() -> None:
    read = stack.parse(APP + "[workers]\nservers_min = 4\nservers_max = 3\n")
    with pytest.raises(StackFileError, match="servers_min is more than servers_max"):
        stack.check(read, PLACES, lambda _unit, _name: None)
