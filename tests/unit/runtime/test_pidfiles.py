"""A daemon is who its pid file names and who lives in its unit's folder, nobody else."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from millions.model import Unit
from millions.runtime import pidfiles, processes
from millions.runtime.state import Identity, StateFolder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SPEC = Unit(
    name="database.1", tier="database", command=("x",), holds_data=True, daemon="{data}/pid"
)


@pytest.fixture
def state(tmp_path: Path) -> StateFolder:
    identity = Identity(name="photos", stack_file="/photos/millions.toml", network=7)
    made = StateFolder(path=tmp_path, identity=identity, account=None)
    (made.unit(SPEC.name) / "data").mkdir(parents=True)
    return made


@pytest.fixture
def daemon(state: StateFolder) -> Iterator[subprocess.Popen[bytes]]:
    """A process that lives in the folder of the unit."""
    made = subprocess.Popen(["/bin/sleep", "60"], cwd=state.unit(SPEC.name) / "data")
    yield made
    made.kill()
    made.wait()


def names(state: StateFolder, text: str) -> None:
    pidfiles.path(state, SPEC).write_text(text)


def test_the_daemon_that_lives_is_found(
    state: StateFolder, daemon: subprocess.Popen[bytes]
) -> None:
    names(state, f"{daemon.pid}\n/data\n")
    assert pidfiles.living(state, SPEC) == processes.identify(daemon.pid)


def test_a_dead_daemon_is_not_found_though_its_number_stands_there(
    state: StateFolder, daemon: subprocess.Popen[bytes]
) -> None:
    names(state, f"{daemon.pid}\n")
    daemon.kill()  # not reaped yet: a zombie
    os.waitid(os.P_PID, daemon.pid, os.WEXITED | os.WNOWAIT)
    assert pidfiles.living(state, SPEC) is None
    assert pidfiles.number(state, SPEC) == daemon.pid


def test_a_number_that_another_program_has_by_now_is_nobody(state: StateFolder) -> None:
    names(state, f"{os.getpid()}\n")
    assert pidfiles.living(state, SPEC) is None


@pytest.mark.parametrize("text", ["", "\n", "many\n", "999999999\n"])
def test_a_pid_file_that_says_nothing_names_nobody(state: StateFolder, text: str) -> None:
    names(state, text)
    assert pidfiles.living(state, SPEC) is None


def test_a_missing_pid_file_names_nobody(state: StateFolder) -> None:
    assert pidfiles.living(state, SPEC) is None
    assert pidfiles.number(state, SPEC) == 0
    assert pidfiles.written(pidfiles.path(state, SPEC)) == (0, 0)
