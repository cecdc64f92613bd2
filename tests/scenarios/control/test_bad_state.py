"""Damaged state, and a disk without room, must harm nothing that runs, and must be told."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from stacks import SLEEPER, SOON_S, Stack, more, script

from millions.drill.load import Load
from millions.errors import StateError
from millions.runtime import down, processes, status, supervisor
from millions.runtime import state as states
from millions.testing import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DAMAGE = pytest.mark.parametrize(
    "damage", ["", '{"format": 1, "gener', '{"format": 99}'], ids=["empty", "torn", "newer"]
)


def identities(stack: Stack, *names: str) -> list[processes.Identity | None]:
    return [processes.identify(stack.pid(name)) for name in names]


@DAMAGE
async def test_a_damaged_wish_is_told_and_changes_nothing(stack: Stack, damage: str) -> None:
    await stack.up(stack.web(), script("sleeper", SLEEPER))
    before = identities(stack, "web", "sleeper")
    stack.state.desired.write_text(damage)
    found = await eventually(
        lambda: (s := status.read(stack.state.status)) and s.problem and s, within_s=SOON_S
    )
    assert "cannot read" in found.problem
    assert identities(stack, "web", "sleeper") == before
    stack.run(stack.web(), script("sleeper", SLEEPER))
    assert (await stack.settled()).problem == ""
    assert identities(stack, "web", "sleeper") == before


@pytest.mark.parametrize("file", ["desired.json", "units/sleeper/unit.json"])
@DAMAGE
async def test_a_supervisor_does_not_begin_on_damaged_state(
    stack: Stack, file: str, damage: str
) -> None:
    await stack.up(script("sleeper", SLEEPER))
    (before,) = identities(stack, "sleeper")
    assert before is not None
    await stack.kill_supervisor()
    path = stack.state.path / file
    whole = path.read_text()
    path.write_text(damage)
    with pytest.raises(StateError) as refused:
        supervisor.ensure(stack.state)
    assert str(path) in refused.value.cannot
    assert refused.value.try_.startswith("millions")
    assert supervisor.running(stack.state) is None
    assert processes.alive(before)
    path.write_text(whole)
    supervisor.ensure(stack.state)
    await eventually(lambda: identities(stack, "sleeper") == [before], within_s=SOON_S)


@DAMAGE
def test_a_folder_of_another_version_is_refused(stack: Stack, damage: str) -> None:
    (stack.state.path / "stack.json").write_text(damage)
    with pytest.raises(StateError, match=r"stack\.json"):
        states.open_folder(stack.state.path)
    (stack.state.path / "stack.json").unlink()
    with pytest.raises(StateError, match="no such file"):
        states.open_folder(stack.state.path)


async def test_only_one_of_many_supervisors_begins(stack: Stack) -> None:
    await stack.up(script("sleeper", SLEEPER))
    first = stack.supervisor()
    command = ["-m", "millions.runtime.supervisor", str(stack.state.path)]
    others = [await asyncio.create_subprocess_exec(sys.executable, *command) for _ in range(3)]
    assert [await each.wait() for each in others] == [0, 0, 0]
    assert stack.supervisor() == first


@pytest.fixture
def small_disk(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    """A stack on a file system of 4 MiB of its own."""
    root = stack.state.path.parent / "small"
    root.mkdir(mode=0o755)
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m,mode=755", "tmpfs", str(root)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False).returncode != 0:
        pytest.skip("only root may mount a small file system")
    monkeypatch.setenv("MILLIONS_HOME", str(root))
    small = Stack(state=states.create("small", root / "small.toml"))
    try:
        yield small
    finally:
        (small.state.path / "ballast").unlink(missing_ok=True)
        down.stop_all(small.state)
        subprocess.run(["umount", str(root)], check=True)


def fill(folder: Path) -> Path:
    """Take all the room that is left."""
    ballast = folder / "ballast"
    with ballast.open("ab", buffering=0) as file:
        for size in (65536, 4096, 512, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    return ballast


async def test_on_a_full_disk_units_run_on_and_the_status_says_so(small_disk: Stack) -> None:
    stack = small_disk
    chatty = script(
        "chatty",
        "import time\n"
        "while True:\n"
        "    try: print('x' * 200, flush=True)\n"
        "    except OSError: pass\n"
        "    time.sleep(0.01)\n",
    )
    quiet = stack.web("quiet")
    await stack.up(quiet, chatty)
    before = identities(stack, "web", "chatty")
    load = Load(stack.public, clients=4, mode="both")
    await load.start()
    ballast = fill(stack.state.path)
    found = await eventually(
        lambda: (s := status.read(stack.state.status)) and s.problem and s, within_s=SOON_S
    )
    assert "No space left on device" in found.problem
    await more(load, 200)
    assert identities(stack, "web", "chatty") == before
    await stack.kill_supervisor()
    supervisor.ensure(stack.state)
    await more(load, 200)
    ballast.unlink()
    await eventually(
        lambda: (s := status.read(stack.state.status)) and s.settled and not s.problem,
        within_s=SOON_S,
    )
    tally = await load.stop()
    assert tally.failed == 0, tally
    assert identities(stack, "web", "chatty") == before


async def test_a_unit_that_dies_on_a_full_disk_is_started_again(small_disk: Stack) -> None:
    stack = small_disk
    await stack.up(script("sleeper", SLEEPER), script("chatty", "print('x' * 60000)\n" + SLEEPER))
    before = stack.pid("sleeper")
    ballast = fill(stack.state.path)
    os.kill(before, 9)
    await eventually(lambda: stack.pid("sleeper") not in (0, before), within_s=SOON_S)
    ballast.unlink()
    await stack.settled()
