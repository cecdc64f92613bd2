"""A deploy must fail no request; a release that does not become ready must change nothing."""

from __future__ import annotations

import dataclasses
import os
import signal
import sys

import pytest
from stacks import SOON_S, Stack, more, shell

from millions.drill.load import Load, Mode
from millions.testing import eventually


@pytest.mark.parametrize("mode", ["keep-alive", "new", "both"])
async def test_a_new_release_takes_over_at_full_load(stack: Stack, mode: Mode) -> None:
    await stack.up(stack.web("1"))
    load = Load(stack.public, clients=16, mode=mode)
    await load.start()
    await more(load, 300)
    for version in ("2", "3"):
        stack.run(stack.web(version))
        await stack.settled()
        assert stack.told("web").release == f"r{version}"  # type: ignore[union-attr]
        await more(load, 300)
    tally = await load.stop()
    assert tally.failed == 0, tally
    events = stack.events("web")
    assert [e for e in events if e.startswith(("serving", "drained"))] == [
        *("serving 1", "serving 2", "drained 1", "serving 3", "drained 2")
    ]


async def test_the_old_one_serves_until_the_new_one_is_ready(stack: Stack) -> None:
    await stack.up(stack.web("1"))
    before = stack.pid("web")
    stack.run(stack.web("2", start_s=4.0))
    told = await eventually(lambda: "on its way" in stack.told("web").why and stack.told("web"))  # type: ignore[union-attr]
    assert (told.pid, told.phase, told.release) == (before, "ready", "r1")
    assert not stack.status().settled  # type: ignore[union-attr]
    await stack.settled()
    assert stack.pid("web") != before


@pytest.mark.parametrize("kind", ["dies", "late", "migration fails", "program is missing"])
async def test_a_bad_release_changes_nothing_and_says_why(stack: Stack, kind: str) -> None:
    good = stack.web("1")
    await stack.up(good)
    before = stack.pid("web")
    bad, words = {
        "dies": (
            dataclasses.replace(good, command=(sys.executable, "-c", "import nothing_at_all")),
            "ModuleNotFoundError: No module named 'nothing_at_all'",
        ),
        "late": (stack.web("2", start_s=60.0, within_s=1.0), "was not ready within 1 s"),
        "migration fails": (
            dataclasses.replace(
                good, release="r2", prepare=(shell("migrate", "echo no such column; exit 3"),)
            ),
            "no such column",
        ),
        "program is missing": (dataclasses.replace(good, command=("/no/such",)), "/no/such"),
    }[kind]
    load = Load(stack.public, clients=4, mode="both")
    await load.start()
    stack.run(bad)
    told = await stack.failed("web")
    assert words in told.why
    assert (told.pid, told.phase, told.release) == (before, "ready", "r1")
    stack.run(good)
    await stack.settled()
    tally = await load.stop()
    assert tally.failed == 0, tally
    assert stack.pid("web") == before


async def test_the_old_release_is_restarted_after_the_new_one_failed(stack: Stack) -> None:
    good = stack.web("1")
    await stack.up(good)
    before = stack.pid("web")
    stack.run(dataclasses.replace(good, command=(sys.executable, "-c", "1 / 0")))
    await stack.failed("web")
    os.kill(before, signal.SIGKILL)
    await eventually(
        lambda: stack.pid("web") not in (0, before) and stack.told("web").phase == "ready",  # type: ignore[union-attr]
        within_s=SOON_S,
    )
    load = Load(stack.public, clients=2)
    await load.start()
    await more(load, 10)
    assert (await load.stop()).failed == 0


async def test_the_supervisor_may_die_in_the_middle_of_a_deploy(stack: Stack) -> None:
    await stack.up(stack.web("1"))
    load = Load(stack.public, clients=8, mode="both")
    await load.start()
    await more(load, 100)
    for version in ("2", "3", "4"):
        stack.run(stack.web(version, start_s=0.3))
        await stack.kill_supervisor()
        stack.run(stack.web(version, start_s=0.3))
        await stack.settled()
    tally = await load.stop()
    assert tally.failed == 0, tally
    assert stack.events("web").count("drained 3") == 1


async def test_a_crash_of_the_web_process_lets_new_connections_wait(stack: Stack) -> None:
    """Those in flight break, as G3 says; those that wait in the backlog are answered."""
    await stack.up(stack.web("1"))
    before = stack.pid("web")
    os.kill(before, signal.SIGSTOP)
    load = Load(stack.public, clients=6, mode="new")
    await load.start()
    os.kill(before, signal.SIGKILL)
    await more(load, 50)
    tally = await load.stop()
    assert tally.failed == 0, tally


async def test_two_revisions_have_a_private_address_each(stack: Stack) -> None:
    await stack.up(stack.web("1"))
    first = stack.told("web").address  # type: ignore[union-attr]
    stack.run(stack.web("2"))
    await stack.settled()
    assert {first, stack.told("web").address} == {  # type: ignore[union-attr]
        str(stack.address(1, 8000)),
        str(stack.address(1, 8001)),
    }
