"""The store's servers: none before they are asked for, then a majority that can be lost to one."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import pytest

from millions import stack
from millions.errors import DataRefusedError, StackFileError
from millions.tiers.kind import Engine, Places

if TYPE_CHECKING:
    from millions.model import Unit

PLACES = Places(
    network=7,
    python="/venv/bin/python",
    path="/venv/bin",
    release="r1-00000000",
    release_folder="/state/releases/r1-00000000",
    secrets_folder="/state/secrets",
    files_folder="/state/files",
    engines=(
        Engine(name="postgresql", folder="/pg/bin", major=18),
        Engine(name="valkey-store", folder="/valkey/bin", major=9),
    ),
)
APP = '[app]\nname = "photos"\nweb = "photos.web:app"\n'


def read(table: str = "") -> stack.Stack:
    return stack.parse(APP + table)


def servers(table: str) -> list[Unit]:
    return [each for each in stack.units(read(table), PLACES) if each.tier == "store"]


def test_on_rung_1_the_store_has_no_server_and_needs_no_program() -> None:
    assert servers("") == []
    assert servers("[store]\nmemory_mib = 64\n") == []
    assert stack.directory(read(), PLACES, epoch=1).store.servers == ()
    assert "store" not in read().secrets


def test_any_stack_can_have_servers_of_the_store_alone() -> None:
    found = servers("[store]\nservers = 3\n")
    assert [each.name for each in found] == ["store.1", "store.2", "store.3"]
    assert {each.group_least for each in found} == {2}
    assert all(each.holds_data for each in found)
    directory = stack.directory(read("[store]\nservers = 3\n"), PLACES, epoch=1)
    assert [each.host for each in directory.store.servers] == [f"127.7.17.{n}" for n in (1, 2, 3)]
    assert directory.store.password_file == "/state/secrets/store"


def test_adding_servers_restarts_no_web_process() -> None:
    before, after = (
        next(each for each in stack.units(read(table), PLACES) if each.tier == "web")
        for table in ("", "[store]\nservers = 3\n")
    )
    assert before.revision == after.revision


def test_every_write_is_flushed_and_nothing_is_evicted() -> None:
    (file,) = servers("[store]\nservers = 1\n")[0].files
    said = json.loads(file.content)["settings"]
    assert said["appendfsync"] == "always"
    assert said["maxmemory-policy"] == "noeviction"
    assert "requirepass" not in file.content


@pytest.mark.parametrize("number", [2, 4, 7])
def test_a_number_of_servers_without_a_sensible_majority_is_refused(number: int) -> None:
    with pytest.raises(StackFileError):
        read(f"[store]\nservers = {number}\n")


def counted(_unit: str, path: str) -> str | None:
    return "3\n" if path == "servers" else None


def test_another_number_of_servers_than_the_data_knows_is_refused() -> None:
    for table in ("[store]\nservers = 5\n", "[store]\nservers = 0\n", ""):
        with pytest.raises(DataRefusedError, match="servers = 3"):
            stack.check(read(table), PLACES, counted)
    stack.check(read("[store]\nservers = 3\n"), PLACES, counted)


def test_a_store_that_is_leaving_gives_its_former_servers_and_runs_them() -> None:
    staying = read("[store]\nservers = 3\n")
    leaving = dataclasses.replace(staying, leaving=frozenset({"store"}))
    place = stack.directory(leaving, PLACES, epoch=1).store
    assert place.servers == ()
    assert place.former == stack.directory(staying, PLACES, epoch=1).store.servers
    assert stack.units(leaving, PLACES) == stack.units(staying, PLACES)


def test_data_that_has_gone_back_lets_the_servers_go_and_no_others_come() -> None:
    def gone_back(unit: str, path: str) -> str | None:
        return "" if (unit, path) == ("store.1", "moved-back") else counted(unit, path)

    staying = read("[store]\nservers = 3\n")
    stack.check(read(), PLACES, gone_back)
    stack.check(dataclasses.replace(staying, leaving=frozenset({"store"})), PLACES, gone_back)
    with pytest.raises(DataRefusedError, match="has gone back into the database"):
        stack.check(staying, PLACES, gone_back)
