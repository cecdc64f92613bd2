"""Every fault must do what it says to a real stack, be seen in the history, and be undone."""

from __future__ import annotations

import os
import subprocess
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from histories_of_drills import found, titles

from millions.drill.connection import ask
from millions.drill.faults import aim as aims
from millions.drill.faults import network, signals
from millions.errors import MachineError
from millions.runtime import processes, supervisor
from millions.testing import eventually

if TYPE_CHECKING:
    from drilling import Drilled

pytestmark = pytest.mark.usefixtures("drilled")
SOON_S = 30.0


def pid(drilled: Drilled, name: str) -> int:
    status = drilled.stage.status()
    assert status is not None
    return next(each.pid or 0 for each in status.units if each.name == name)


def tables() -> str:
    """What nft knows."""
    ran = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True)
    return ran.stdout


async def test_a_killed_web_server_fails_only_what_was_in_flight(drilled: Drilled) -> None:
    before = pid(drilled, "web.1")
    verdict = await drilled.drill("kill web at 1.5s")
    assert pid(drilled, "web.1") not in (before, 0)
    assert titles(verdict) == {}
    assert [each.event for each in verdict.events] == ["kill", "recovered"]
    assert sum(each.others for each in verdict.failures) == 0
    assert verdict.longest_gap is not None
    assert verdict.longest_gap.seconds > 0.2  # a process had to start


async def test_a_killed_database_loses_nothing(drilled: Drilled) -> None:
    before = pid(drilled, "database.1")
    verdict = await drilled.drill("kill primary at 1.5s")
    assert pid(drilled, "database.1") not in (before, 0)
    assert titles(verdict) == {}
    assert verdict.kinds["add"] > 50


async def test_nobody_notices_the_death_of_the_supervisor(drilled: Drilled) -> None:
    before = supervisor.running(drilled.stage.state)
    verdict = await drilled.drill("kill supervisor at 1.5s for 1s")
    assert supervisor.running(drilled.stage.state) not in (before, None)
    assert verdict.failures == ()
    assert titles(verdict) == {}


async def test_a_frozen_web_server_answers_nothing_until_it_is_thawed(drilled: Drilled) -> None:
    before = pid(drilled, "web.1")
    verdict = await drilled.drill("freeze web.1 at 1.5s for 1.5s")
    assert pid(drilled, "web.1") == before
    assert verdict.longest_gap is not None
    assert 1.2 < verdict.longest_gap.seconds < 10
    assert signals.frozen(drilled.stage) == ()


async def test_a_release_that_cannot_start_is_refused_and_fails_nothing(drilled: Drilled) -> None:
    verdict = await drilled.drill("bad-release at 1s")
    assert verdict.failures == ()
    assert any("refused" in each for each in drilled.said)
    assert "raise RuntimeError" not in (drilled.stage.folder / "drilled.py").read_text()


async def test_a_deploy_and_a_rollback_fail_nothing(drilled: Drilled) -> None:
    before = pid(drilled, "web.1")
    verdict = await drilled.drill("deploy at 1s", "rollback at 5s", lasts_s=8)
    assert pid(drilled, "web.1") not in (before, 0)
    assert verdict.failures == ()


@pytest.mark.usefixtures("packet_filters")
async def test_a_unit_that_is_cut_off_is_reached_by_nobody_until_it_is_mended(
    drilled: Drilled,
) -> None:
    # long enough that packets are sent again after the cut: the kernel waits longer each time
    verdict = await drilled.drill("cut-off database.1 at 1.5s for 2s", lasts_s=12)
    gap = next(each for each in verdict.gaps if each.kind == "add")
    assert gap.seconds > 1.5
    assert titles(verdict) == {}
    assert network.table(drilled.stage) not in tables()


@pytest.mark.usefixtures("packet_filters")
async def test_a_slow_link_is_slow_and_then_not(drilled: Drilled) -> None:
    verdict = await drilled.drill("slow database.1 at 2s for 2s by 30")
    (around,) = verdict.around
    assert around.during.p90 > 0.06  # there and back; the first ones come before it is slow
    assert around.during.p50 > around.before.p50 * 2
    assert verdict.failures == ()


async def test_kill_is_for_processes_of_this_stack_only(drilled: Drilled) -> None:
    everything = aims.Aim(text="all", units=tuple(x.name for x in drilled.stage.desired().units))
    members = {each.pid for each in aims.members(drilled.stage, everything)}
    assert members
    assert os.getpid() not in members
    for each in members:
        assert processes.environment(each).get("MILLIONS_STACK") in (drilled.stage.state.name, None)


async def test_what_may_have_no_more_memory_may_again_when_the_fault_ends(
    drilled: Drilled,
) -> None:
    await drilled.well()
    limits = Path(f"/proc/{pid(drilled, 'web.1')}/limits")

    def soft() -> str:
        (line,) = [x for x in limits.read_text().splitlines() if x.startswith("Max address")]
        return line.split()[3]

    before = soft()
    async with AsyncExitStack() as hold:
        note = await drilled.begin("fill-memory web.1", hold)
        assert "1 processes" in note
        assert soft().isdigit()
    assert soft() == before == "unlimited"


async def test_an_aim_that_means_nothing_here_is_refused(drilled: Drilled) -> None:
    for words in ("kill web.9", "kill replica", "kill leader", "kill server:moon", "kill web:half"):
        async with AsyncExitStack() as hold:
            with pytest.raises(MachineError, match="cannot aim at"):
                await drilled.begin(words, hold)


async def test_a_disk_that_others_use_is_never_filled(drilled: Drilled) -> None:
    async with AsyncExitStack() as hold:
        with pytest.raises(MachineError, match="everything else on this machine"):
            await drilled.begin("fill-disk", hold)


async def test_what_disappears_from_the_database_is_found(drilled: Drilled) -> None:
    async def meddle() -> None:
        await drilled.stage.do("sql", "DELETE FROM drill.elements WHERE name LIKE '%-s1'")
        await drilled.stage.do("sql", "UPDATE drill.registers SET value = 'stranger'")
        await drilled.stage.do("sql", "UPDATE drill.accounts SET balance = balance + 1")

    verdict = await drilled.drill(meddle=meddle, lasts_s=3)
    assert found(verdict, "lost acknowledged additions") > 0
    assert found(verdict, "values that nobody had written") > 0
    assert found(verdict, "sums that do not hold") > 0
    assert verdict.held["G1"] is False
    await drilled.stage.do("sql", "TRUNCATE drill.elements, drill.registers, drill.accounts")


async def test_caches_sessions_counters_and_tasks_hold_when_a_web_server_dies(
    drilled: Drilled,
) -> None:
    verdict = await drilled.drill("kill web at 1.5s", target="nouns")
    assert titles(verdict) == {}
    assert all(verdict.held[each] for each in ("G1", "G4")), verdict.held
    (kill, recovered) = verdict.events
    assert recovered.at > kill.at + 0.3  # a process had to start, however late that was seen
    for kind in ("cached", "change", "recall", "members", "total", "undone", "enqueue", "ran"):
        assert verdict.kinds[kind] > 0, verdict.kinds


async def test_what_disappears_from_the_other_nouns_is_found(drilled: Drilled) -> None:
    await drilled.stage.do("sql", "TRUNCATE drill.elements")  # what tasks of other drills added

    async def meddle() -> None:
        await drilled.stage.do("sql", "DELETE FROM millions.documents")
        await drilled.stage.do("sql", "DELETE FROM millions.counters")
        await drilled.stage.do("sql", "DELETE FROM millions.sorted_items")
        first = "SELECT min(value) FROM drill.elements WHERE name LIKE '%-t'"
        await drilled.stage.do("sql", f"DELETE FROM drill.elements WHERE value = ({first})")
        await drilled.stage.do(
            "sql",
            "INSERT INTO drill.elements (name, value) "
            "SELECT name, value FROM drill.elements WHERE name LIKE '%-t'",
        )

    verdict = await drilled.drill(meddle=meddle, lasts_s=3, target="nouns")
    for title in (
        "lost acknowledged writes",
        "lost acknowledged additions",
        "acknowledged counts that are missing",
        "tasks of committed transactions that never ran",
        "keys of tasks that took effect twice",
    ):
        assert found(verdict, title) > 0, title
    assert (verdict.held["G1"], verdict.held["G6"]) == (False, False)
    await drilled.stage.do("sql", "TRUNCATE drill.elements, drill.registers")


async def test_every_server_names_itself(drilled: Drilled) -> None:
    place = drilled.stage.address

    async def answered() -> bool:
        answer = await ask(place.host, place.port, b"GET /set/s1 HTTP/1.1\r\nhost: x\r\n\r\n")
        return answer.headers.get("x-unit") == "web.1"

    assert await eventually(answered, within_s=SOON_S)
