"""The supervisor's death must harm no request, lose no log line and restart nothing."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys

from stacks import SLEEPER, SOON_S, Stack, more, script, shell

from millions.drill.load import Load
from millions.model import Unit
from millions.runtime import processes, supervisor
from millions.testing import eventually


async def test_no_request_fails_and_no_log_line_is_lost(stack: Stack) -> None:
    await stack.up(stack.web())
    before = stack.pid("web")
    load = Load(stack.public, clients=8, mode="both")
    await load.start()
    for _death in range(3):
        await more(load, 200)
        await stack.kill_supervisor()
        await more(load, 200)
        supervisor.ensure(stack.state)
    tally = await load.stop()
    assert tally.failed == 0, tally
    assert stack.pid("web") == before
    lines = [f"answer {before} {number}" for number in range(1, tally.good + 1)]

    def logged() -> list[str]:
        return [event for event in stack.events("web") if event.startswith("answer ")]

    await eventually(lambda: len(logged()) >= tally.good, within_s=SOON_S)
    assert logged() == lines


async def test_the_next_one_restarts_nothing_that_is_well(stack: Stack) -> None:
    units = (stack.web(), script("sleeper", SLEEPER))
    await stack.up(*units)
    before = {name: processes.identify(stack.pid(name)) for name in ("web", "sleeper")}
    await stack.kill_supervisor()
    stack.run(*units)
    found = await stack.settled()
    assert {each.name: processes.identify(each.pid or 0) for each in found.units} == before
    assert [each.restarts for each in found.units] == [0, 0]


async def test_the_next_one_notices_who_died_meanwhile(stack: Stack) -> None:
    await stack.up(script("sleeper", SLEEPER))
    before = stack.pid("sleeper")
    await stack.kill_supervisor()
    os.kill(before, signal.SIGKILL)
    supervisor.ensure(stack.state)
    await eventually(lambda: stack.pid("sleeper") not in (0, before), within_s=SOON_S)
    await stack.settled()


async def test_the_next_one_notices_the_death_of_what_it_adopted(stack: Stack) -> None:
    await stack.up(script("sleeper", SLEEPER))
    before = stack.pid("sleeper")
    await stack.kill_supervisor()
    supervisor.ensure(stack.state)
    os.kill(before, signal.SIGKILL)
    await eventually(lambda: stack.pid("sleeper") not in (0, before), within_s=SOON_S)
    found = await stack.settled()
    assert [each.restarts for each in found.units] == [1]


async def test_a_preparation_is_not_run_twice(stack: Stack) -> None:
    slow = shell("slow", "echo begun >> counted; sleep 3; echo done >> counted")
    stack.run(script("sleeper", SLEEPER, prepare=(slow,)))
    counted = stack.state.unit("sleeper") / "counted"
    await eventually(counted.exists, within_s=SOON_S)
    await stack.kill_supervisor()
    supervisor.ensure(stack.state)
    await stack.settled()
    assert counted.read_text().split() == ["begun", "done"]


async def test_a_stop_that_was_under_way_is_finished_and_not_begun_again(stack: Stack) -> None:
    counts = (
        "import signal, time\n"
        "end = time.monotonic() + 600\n"
        "def asked(*_):\n"
        "    global end\n"
        "    end = min(end, time.monotonic() + 4)\n"
        "    print('asked to stop', flush=True)\n"
        "signal.signal(signal.SIGTERM, asked)\n"
        "print('here', flush=True)\n"
        "while time.monotonic() < end: time.sleep(0.05)\n"
    )
    await stack.up(script("counting", counts))
    await stack.heard("counting", "here")
    stack.run()
    await stack.heard("counting", "asked to stop")
    await stack.kill_supervisor()
    supervisor.ensure(stack.state)
    await stack.settled()
    assert stack.events("counting").count("asked to stop") == 1


async def test_connections_wait_while_supervisor_and_web_change(stack: Stack) -> None:
    """The new supervisor has the old socket, so a web process may die after a supervisor has."""
    await stack.up(stack.web())
    await stack.kill_supervisor()
    supervisor.ensure(stack.state)
    before = stack.pid("web")
    os.kill(before, signal.SIGKILL)
    load = Load(stack.public, clients=4, mode="new")
    await load.start()
    await eventually(lambda: load.tally.good > 50, within_s=SOON_S)
    tally = await load.stop()
    assert tally.failed == 0, tally
    assert stack.pid("web") != before


async def test_a_start_that_it_died_in_is_neither_lost_nor_doubled(stack: Stack) -> None:
    """Deaths at any moment of the first two seconds: there is one process in the end."""
    unit = Unit(name="one", tier="any", command=(sys.executable, "-c", SLEEPER))
    for _death in range(6):
        stack.run(unit)
        await stack.kill_supervisor()
    stack.run(unit)
    await stack.settled()
    await stack.heard("one", "here")
    assert stack.events("one").count("here") == 1


async def test_a_supervisor_works_on_when_whoever_started_it_is_gone(stack: Stack) -> None:
    await stack.up(script("sleeper", SLEEPER))
    before = stack.pid("sleeper")
    await stack.kill_supervisor()
    reading, writing = os.pipe()
    os.close(reading)
    command = (sys.executable, "-m", "millions.runtime.supervisor")
    started = await asyncio.create_subprocess_exec(
        *(*command, str(stack.state.path), str(writing)),
        pass_fds=(writing,),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(writing)
    await asyncio.wait_for(started.wait(), SOON_S)
    os.kill(before, signal.SIGKILL)
    await eventually(lambda: stack.pid("sleeper") not in (0, before), within_s=SOON_S)
