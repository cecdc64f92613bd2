"""With a delivery network in the place of edges, commands about edges say what is the matter."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from millions import stack
from millions.cli import edge, purge
from millions.errors import StackFileError
from millions.runtime import desired as desireds
from millions.runtime import state as states
from millions.tiers.kind import Engine, Places

if TYPE_CHECKING:
    from collections.abc import Iterator

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
        Engine(name="haproxy", folder="/usr/sbin", major=2),
    ),
)
STACK = """rung = 3
[app]
name = "photos"
web = "photos.web:app"
[edge]
"""
NETWORK = 'cdn = "https://network.test"\n'


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="millions-test-"))
    folder.chmod(0o755)
    monkeypatch.setenv("MILLIONS_HOME", str(folder / "home"))
    yield folder
    shutil.rmtree(folder)


def refusal(home: Path, text: str, command: str) -> StackFileError:
    """What a command says on a stack of this text that is wanted to run."""
    file = home / "millions.toml"
    file.write_text(text)
    state = states.create("photos", file)
    read = stack.parse(text)
    state.directory.write_text(stack.directory(read, PLACES, epoch=1).text())
    desireds.write(state.desired, desireds.Desired(generation=1, units=stack.units(read, PLACES)))
    group, words = {"purge": (purge.command, ["--all"]), "report": (edge.command, ["report"])}[
        command
    ]
    ran = CliRunner().invoke(group, words, obj=str(file))
    assert isinstance(ran.exception, StackFileError), ran.output
    return ran.exception


def test_a_purge_without_a_hook_names_the_setting_that_is_missing(home: Path) -> None:
    said = refusal(home, STACK + NETWORK, "purge")
    assert "cdn_purge is not set" in said.because
    assert said.try_.startswith("[edge] cdn_purge")


def test_a_report_on_edges_does_not_ask_for_servers_that_a_network_replaces(home: Path) -> None:
    said = refusal(home, STACK + NETWORK, "report")
    assert "https://network.test stands in their place" in said.because
    assert "servers" not in said.try_


@pytest.mark.parametrize("command", ["purge", "report"])
def test_without_edges_and_without_a_network_there_are_none(home: Path, command: str) -> None:
    said = refusal(home, STACK, command)
    assert "none" in said.because or "no edges" in said.because
