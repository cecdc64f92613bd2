"""A database with a consensus has members; without one it is alone, on the same data."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from millions import stack
from millions.errors import DataRefusedError, StackFileError
from millions.tiers.kind import Engine, Places

if TYPE_CHECKING:
    from millions.directory import DatabasePlace
    from millions.model import Unit

APP = '[app]\nname = "photos"\nweb = "photos.web:app"\n'
PLACES = Places(
    network=7,
    python="/venv/bin/python",
    path="/venv/bin:/usr/bin",
    release="r1-00000000",
    release_folder="/state/releases/r1-00000000",
    secrets_folder="/state/secrets",
    files_folder="/state/files",
    engines=(
        Engine(name="postgresql", folder="/pg/bin", major=18),
        Engine(name="etcd", folder="/etcd/bin", major=3),
        Engine(name="patroni", folder="/venv/bin", major=4),
        Engine(name="haproxy", folder="/usr/sbin", major=2),
    ),
)


def units(text: str) -> dict[str, Unit]:
    return {unit.name: unit for unit in stack.units(stack.parse(APP + text), PLACES)}


def database(text: str) -> DatabasePlace:
    return stack.directory(stack.parse(APP + text), PLACES, epoch=1).database


def file(unit: Unit, name: str) -> dict[str, Any]:
    (content,) = (each.content for each in unit.files if each.path == name)
    found: dict[str, Any] = json.loads(content)
    return found


def members(text: str) -> list[str]:
    return [name for name in units(text) if name.startswith("database.")]


def test_without_a_consensus_the_database_is_alone() -> None:
    assert members("") == ["database.1"]
    assert units("")["database.1"].lease is None


def test_with_a_consensus_it_has_members_each_on_an_address_and_a_server_of_its_own() -> None:
    found = units("[consensus]\n")
    assert members("[consensus]\n") == ["database.1", "database.2", "database.3"]
    some = [found[name] for name in members("[consensus]\n")]
    assert len({each.address for each in some}) == len({each.server for each in some}) == 3
    assert {each.group_least for each in some} == {2}


@pytest.mark.parametrize(("replicas", "least"), [(0, 1), (1, 2), (6, 2)])
def test_enough_members_are_the_primary_and_one_more(replicas: int, least: int) -> None:
    found = units(f"[consensus]\n[database]\nreplicas = {replicas}\n")
    assert len([name for name in found if name.startswith("database.")]) == replicas + 1
    assert found["database.1"].group_least == least


def test_a_moved_database_stays_where_it_is_and_is_the_first_member() -> None:
    moved = "[consensus]\n[database]\nserver = 5\n"
    assert members(moved) == ["database.1", "database.2", "database.5"]
    shard = database(moved).shards[0]
    assert (shard.primary.host, [each.host for each in shard.replicas]) == (
        "127.7.2.5",
        ["127.7.2.1", "127.7.2.2"],
    )
    assert file(units(moved)["database.1"], "member.json")["founder"] == "database.5"


def test_all_members_agree_on_the_same() -> None:
    found = units("[consensus]\n")
    agreed = [file(found[name], "member.json")["agreed"] for name in members("[consensus]\n")]
    assert agreed[0] == agreed[1] == agreed[2]
    assert agreed[0]["synchronous_mode"] == "quorum"
    assert agreed[0]["failsafe_mode"] is True
    assert agreed[0]["loop_wait"] + 2 * agreed[0]["retry_timeout"] <= agreed[0]["ttl"]


def test_no_member_can_make_an_empty_cluster() -> None:
    for name in members("[consensus]\n"):
        unit = units("[consensus]\n")[name]
        assert "bootstrap" not in file(unit, "patroni.yml")
        part = next(word for word in unit.prepare[0].command if word in {"founder", "member"})
        assert part == ("founder" if name == "database.1" else "member")


def test_no_secret_stands_in_a_file_or_command_and_nobody_is_trusted() -> None:
    unit = units("[consensus]\n")["database.1"]
    server = file(unit, "patroni.yml")["postgresql"]
    assert [set(each) for each in server["authentication"].values()] == [{"username"}] * 3
    assert "authentication" not in file(unit, "patroni.yml")["restapi"]
    rules = server["pg_hba"]
    assert {rule.split()[-1] for rule in rules} == {"scram-sha-256"}
    assert {name for name, _ in unit.secret_environment} == {
        "PATRONI_RESTAPI_PASSWORD",
        "PATRONI_SUPERUSER_PASSWORD",
        "PATRONI_REPLICATION_PASSWORD",
        "PATRONI_REWIND_PASSWORD",
    }


def test_a_lease_names_its_holder_and_every_member_of_the_consensus() -> None:
    lease = units("[consensus]\n")["database.2"].lease
    assert lease is not None
    assert (lease.holder, lease.key) == ("database.2", "/service/photos-s0/leader")
    assert [str(each) for each in lease.servers] == [f"127.7.9.{n}:2379" for n in (1, 2, 3)]


@pytest.mark.parametrize(("count", "least"), [(1, 1), (3, 2), (5, 3)])
def test_a_consensus_needs_its_majority(count: int, least: int) -> None:
    found = units(f"[consensus]\nmembers = {count}\n")
    assert found["consensus.1"].group_least == least
    assert f"consensus.{count}" in found


@pytest.mark.parametrize("count", [0, 2, 4, 6])
def test_a_consensus_of_another_number_is_refused(count: int) -> None:
    with pytest.raises(StackFileError):
        stack.parse(APP + f"[consensus]\nmembers = {count}\n")


def test_members_of_the_consensus_answer_only_who_has_a_certificate() -> None:
    command = " ".join(units("[consensus]\n")["consensus.1"].command)
    assert "--client-cert-auth=true" in command
    assert "--peer-client-cert-auth=true" in command
    assert "--listen-client-urls=https://127.7.9.1:2379" in command


def test_an_empty_database_beside_an_old_one_is_refused() -> None:
    def read(unit: str, name: str) -> str | None:
        return "18\n" if (unit, name) == ("database.3", "postgresql/PG_VERSION") else None

    with pytest.raises(DataRefusedError, match=r"the data is on database\.3"):
        stack.check(stack.parse(APP), PLACES, read)
    stack.check(stack.parse(APP + "[consensus]\n"), PLACES, read)


def test_another_number_of_members_than_the_data_was_made_for_is_refused() -> None:
    def read(unit: str, name: str) -> str | None:
        return "3\n" if (unit, name) == ("consensus.1", "members") else None

    stack.check(stack.parse(APP + "[consensus]\n"), PLACES, read)
    with pytest.raises(DataRefusedError, match="its data was made for 3"):
        stack.check(stack.parse(APP + "[consensus]\nmembers = 5\n"), PLACES, read)
