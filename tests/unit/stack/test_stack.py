"""A stack file becomes units and a directory."""

from __future__ import annotations

import dataclasses
import json

import pytest

from millions import rungs, stack
from millions.directory import parse as parse_directory
from millions.errors import MachineError
from millions.model import Unit
from millions.runtime import codec
from millions.tiers import tiers
from millions.tiers.kind import Engine, Places

TEXT = """
[app]
name = "photos"
web = "photos.web:app"
migrate = "alembic upgrade 'head'"
tasks = "photos.tasks"

[app.environment]
LANGUAGE = "en"
"""
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


def units_by_name(text: str = TEXT, places: Places = PLACES) -> dict[str, Unit]:
    return {unit.name: unit for unit in stack.units(stack.parse(text), places)}


def test_rung_one_is_a_web_process_and_a_database() -> None:
    assert list(units_by_name()) == ["web.1", "database.1"]


def test_units_live_at_addresses_of_their_own_stack() -> None:
    one = {unit.address for unit in stack.units(stack.parse(TEXT), PLACES)}
    elsewhere = dataclasses.replace(PLACES, network=8)
    other = {unit.address for unit in stack.units(stack.parse(TEXT), elsewhere)}
    assert not one & other
    assert {address.host for address in one if address} == {"127.7.1.1", "127.7.2.1"}


def test_every_unit_that_is_needed_exists() -> None:
    units = units_by_name()
    groups = {unit.group for unit in units.values()}
    assert {need for unit in units.values() for need in unit.needs} <= {*units, *groups}


def test_the_application_hears_of_its_environment_and_never_of_its_secrets_values() -> None:
    web = units_by_name()["web.1"]
    assert ("LANGUAGE", "en") in web.environment
    assert ("MILLIONS_TASKS", "photos.tasks") in web.environment
    assert web.secret_environment == (("STRIPE_KEY", "app.STRIPE_KEY.1"),)


def test_a_migration_runs_once_per_release() -> None:
    first = units_by_name()["web.1"].prepare[0]
    again = units_by_name()["web.1"].prepare[0]
    later = dataclasses.replace(PLACES, release="r2-11111111")
    assert first.command == ("alembic", "upgrade", "head")
    assert first.key == again.key
    assert first.key != units_by_name(places=later)["web.1"].prepare[0].key


def test_without_a_migration_nothing_is_prepared() -> None:
    assert units_by_name('[app]\nname = "ab"\nweb = "a:b"\n')["web.1"].prepare == ()


def test_a_new_release_changes_the_web_process_only() -> None:
    later = dataclasses.replace(PLACES, release="r2-11111111")
    one, other = units_by_name(), units_by_name(places=later)
    assert one["web.1"].revision != other["web.1"].revision
    assert one["database.1"].revision == other["database.1"].revision


def test_the_directory_is_read_back_equal_and_names_files_for_secrets() -> None:
    directory = stack.directory(stack.parse(TEXT), PLACES, epoch=3)
    assert parse_directory(directory.text()) == directory
    assert directory.database.password_file == "/state/secrets/database"
    assert directory.database.shards[0].primary.host == "127.7.2.1"
    assert directory.secret_file == "/state/secrets/signing"


def test_every_secret_that_the_directory_names_is_generated() -> None:
    directory = stack.directory(stack.parse(TEXT), PLACES, epoch=1)
    names = {directory.secret_file, directory.database.password_file}
    made = {f"/state/secrets/{name}" for name in stack.parse(TEXT).secrets}
    assert names <= made


def test_a_missing_engine_is_an_error_with_a_way_out() -> None:
    bare = dataclasses.replace(PLACES, engines=())
    with pytest.raises(MachineError) as caught:
        stack.units(stack.parse(TEXT), bare)
    assert caught.value.try_ == "millions doctor"


def test_the_stack_file_may_name_another_postgresql() -> None:
    text = TEXT + '[database]\nbin = "/usr/lib/postgresql/17/bin"\n'
    need, folder = stack.parse(text).needs[0]
    assert (need.name, need.lowest, folder) == ("postgresql", 17, "/usr/lib/postgresql/17/bin")


def test_address_indexes_of_tiers_are_different() -> None:
    assert len({each.index for each in tiers()}) == len(tiers())


def test_there_are_eleven_rungs_in_order_and_what_is_built_adds_up() -> None:
    assert [each.number for each in rungs.RUNGS] == list(range(1, 12))
    for number in rungs.BUILT:
        assert rungs.preset(number) == tuple(each.name for each in tiers() if each.rung <= number)


def test_units_read_back_from_disk_have_the_same_revision() -> None:
    for unit in stack.units(stack.parse(TEXT), PLACES):
        again = codec.build(Unit, json.loads(json.dumps(codec.document(unit))))
        assert (again, again.revision) == (unit, unit.revision)
