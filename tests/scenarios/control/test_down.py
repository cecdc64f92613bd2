"""Down must leave no process behind, whatever happened before."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import psutil
import pytest
from stacks import SLEEPER, Stack, script, shell

from millions.model import StopStep
from millions.runtime import belonging, down, processes, supervisor
from millions.runtime import state as states

if TYPE_CHECKING:
    from collections.abc import Callable

QUICKLY = (StopStep(signal="SIGTERM", wait_s=0.5),)
DAEMON = (
    "import os, sys, time\n"
    "if os.fork() == 0:\n"
    "    os.setsid()\n"
    "    if os.fork() == 0:\n"
    "        {before}\n"
    "        print('daemon', os.getpid(), flush=True)\n"
    "        time.sleep(600)\n"
    "    os._exit(0)\n"
    "time.sleep(600)\n"
)


def living_below(stack: Stack) -> list[int]:
    """Found in another way than `down` does: by any trace of the folder that psutil can see."""
    found = []
    for process in psutil.process_iter():
        try:
            traces = [process.cwd(), *process.cmdline(), *process.environ().values()]
        except (psutil.Error, OSError):
            continue
        ours = process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE
        if ours and any(str(stack.state.path) in trace for trace in traces):
            found.append(process.pid)
    return found


async def said(stack: Stack, unit: str, word: str) -> int:
    """The number after `word` in the unit's log."""
    return int((await stack.heard(unit, word)).split()[1])


async def test_everything_stops_in_order_and_the_last_words_are_logged(stack: Stack) -> None:
    says = (
        "import signal, sys, time\n"
        "def bye(*_): print('bye', flush=True); sys.exit()\n"
        "signal.signal(signal.SIGTERM, bye)\n" + SLEEPER
    )
    await stack.up(script("web", says, needs=("db",)), script("db", says))
    for unit in ("web", "db"):
        await stack.heard(unit, "here")
    progress: list[str] = []
    assert sorted(down.stop_all(stack.state, progress=progress.append)) == ["db", "web"]
    assert progress == ["stopping web", "stopping db"]
    assert living_below(stack) == []
    assert supervisor.running(stack.state) is None
    for unit in ("web", "db"):
        assert "bye" in stack.events(unit)


@pytest.mark.parametrize(
    "before",
    ["pass", "os.chdir('/')"],
    ids=["in its folder", "elsewhere"],
)
async def test_a_daemonised_grandchild_is_found(stack: Stack, before: str) -> None:
    await stack.up(script("parent", DAEMON.format(before=before), stop=QUICKLY))
    daemon = processes.identify(await said(stack, "parent", "daemon"))
    assert daemon is not None
    down.stop_all(stack.state)
    assert not processes.alive(daemon)


async def test_it_works_after_the_supervisor_was_killed(stack: Stack) -> None:
    await stack.up(stack.web(), script("sleeper", SLEEPER))
    await stack.kill_supervisor()
    assert sorted(down.stop_all(stack.state)) == ["sleeper", "web"]
    assert living_below(stack) == []


async def test_it_works_when_the_supervisor_is_stopped(stack: Stack) -> None:
    await stack.up(script("sleeper", SLEEPER))
    os.kill(stack.supervisor(), signal.SIGSTOP)
    down.stop_all(stack.state)
    assert living_below(stack) == []


async def test_it_works_when_a_unit_is_stopped_or_ignores_signals(stack: Stack) -> None:
    deaf = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SLEEPER
    await stack.up(script("frozen", SLEEPER, stop=QUICKLY), script("deaf", deaf, stop=QUICKLY))
    await stack.heard("deaf", "here")
    os.kill(stack.pid("frozen"), signal.SIGSTOP)
    down.stop_all(stack.state)
    assert living_below(stack) == []


async def test_it_works_while_a_preparation_runs(stack: Stack) -> None:
    stack.run(script("slow", SLEEPER, prepare=(shell("slow", "echo here 1; sleep 600"),)))
    await said(stack, "slow", "here")
    down.stop_all(stack.state)
    assert living_below(stack) == []


@pytest.mark.parametrize("damage", ["", "{", '{"format": 99}'], ids=["empty", "torn", "newer"])
async def test_it_works_with_damaged_records(stack: Stack, damage: str) -> None:
    await stack.up(script("one", SLEEPER, stop=QUICKLY), script("two", SLEEPER, stop=QUICKLY))
    await stack.kill_supervisor()
    (stack.state.unit("one") / "unit.json").write_text(damage)
    (stack.state.unit("two") / "unit.json").unlink()
    stack.state.desired.write_text(damage)
    down.stop_all(stack.state)
    assert living_below(stack) == []
    await stack.up(script("one", SLEEPER))


async def test_it_leaves_a_person_in_the_folder_alone(stack: Stack) -> None:
    """A shell with a terminal whose working folder is the unit's."""
    await stack.up(script("sleeper", SLEEPER))
    parent, child = os.openpty()
    code = (
        "import os, fcntl, termios, time\n"
        "fcntl.ioctl(0, termios.TIOCSCTTY, 0)\nprint('here', flush=True)\ntime.sleep(600)"
    )
    looking = subprocess.Popen(  # noqa: ASYNC220  # it is over in milliseconds
        [sys.executable, "-c", code],
        stdin=child,
        stdout=child,
        start_new_session=True,
        cwd=stack.state.unit("sleeper"),
    )
    try:
        assert os.read(parent, 4) == b"here"
        down.stop_all(stack.state)
        assert looking.poll() is None
    finally:
        looking.kill()
        looking.wait()
        os.close(parent)
        os.close(child)


async def test_another_stack_runs_on(new_stack: Callable[..., Stack]) -> None:
    one, two = new_stack("one"), new_stack("two")
    await one.up(one.web("1"), script("sleeper", SLEEPER))
    await two.up(two.web("1"), script("sleeper", SLEEPER))
    before = [two.supervisor(), two.pid("web"), two.pid("sleeper")]
    assert one.state.identity.network != two.state.identity.network
    down.stop_all(one.state)
    assert living_below(one) == []
    assert [two.supervisor(), two.pid("web"), two.pid("sleeper")] == before
    assert (await two.settled()).failed == ()


async def test_a_stack_of_the_same_name_in_another_root_runs_on(
    new_stack: Callable[..., Stack], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = new_stack("app")
    await one.up(script("sleeper", SLEEPER))
    elsewhere = one.state.path.parent / "elsewhere"
    elsewhere.mkdir(mode=0o755)
    monkeypatch.setenv("MILLIONS_HOME", str(elsewhere))
    other = Stack(state=states.create("app", one.state.path.parent / "app.toml"))
    assert other.state.name == one.state.name
    await other.up(script("sleeper", SLEEPER))
    down.stop_all(other.state)
    assert belonging.members(one.state) != ()
    assert (await one.settled()).failed == ()


async def test_data_is_kept_unless_its_unit_is_named(stack: Stack) -> None:
    await stack.up(*(script(name, SLEEPER, holds_data=True) for name in ("kept", "named")))
    down.stop_all(stack.state, ("named",))
    assert (stack.state.unit("kept") / "data").is_dir()
    assert not stack.state.unit("named").exists()
    stack.run()
    assert [(e.name, e.phase) for e in (await stack.settled()).units] == [("kept", "kept")]


async def test_down_twice_and_down_of_nothing_are_well(stack: Stack) -> None:
    assert down.stop_all(stack.state) == ()
    await stack.up(script("sleeper", SLEEPER))
    assert down.stop_all(stack.state) == ("sleeper",)
    assert down.stop_all(stack.state) == ()
