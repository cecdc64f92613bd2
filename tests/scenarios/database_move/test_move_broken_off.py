"""A move that anything breaks off must be finished or undone, with one primary and nothing lost."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

import pytest

from millions.testing import eventually

if TYPE_CHECKING:
    from ledger import Ledger, People

pytestmark = pytest.mark.timeout(300)  # a move takes seconds, on a busy machine many

SOON_S = 30.0


async def ready(ledger: Ledger) -> int:
    """Erase what earlier moves left, write a line; answer the number of another server."""
    await ledger.millions("move", "database", "--erase-former", "--yes")
    return ledger.server() % 4 + 1


async def begin(ledger: Ledger, target: int, step: str) -> asyncio.subprocess.Process:
    """Begin a move and wait until it is at `step`, as closely as can be seen from outside."""
    move = await ledger.begin("move", "database", "--to", str(target))
    while move.returncode is None and ledger.step() != step:  # noqa: ASYNC110  # a file
        await asyncio.sleep(0.001)
    return move


async def well(ledger: Ledger, people: People) -> None:
    """Everything runs on one server, and every acknowledged line is there once."""
    await people.more(20)
    await people.stop()
    assert ledger.step() is None
    assert ledger.primaries() == [f"database.{ledger.server()}"]
    assert people.missed == []
    assert await people.accounts() == (set(), [])
    assert await ledger.sql("SELECT count(*) FROM pg_replication_slots") == ["0"]
    await ledger.millions("status")


@pytest.mark.parametrize("step", ["building", "stopping", "promoting", "tidying"])
async def test_up_finishes_or_undoes_what_a_killed_command_began(
    ledger: Ledger, people: People, step: str
) -> None:
    target = await ready(ledger)
    before = ledger.server()
    move = await begin(ledger, target, step)
    if move.returncode is None:
        move.kill()
    await move.wait()
    found = ledger.step()
    await ledger.millions("up", "--detach")
    assert ledger.server() == (target if found in {"promoting", "tidying", None} else before)
    await well(ledger, people)


async def test_the_same_move_again_goes_on_where_a_killed_one_stood(
    ledger: Ledger, people: People
) -> None:
    target = await ready(ledger)
    move = await begin(ledger, target, "stopping")
    if move.returncode is None:
        move.kill()
    await move.wait()
    if ledger.server() != target:
        await ledger.move(target)
    assert ledger.server() == target
    await well(ledger, people)


async def test_the_death_of_the_supervisor_delays_a_move_and_no_more(
    ledger: Ledger, people: People
) -> None:
    target = await ready(ledger)
    move = await begin(ledger, target, "stopping")
    ledger.kill_alone(ledger.supervisor())
    out, _ = await asyncio.wait_for(move.communicate(), SOON_S)
    assert move.returncode == 0, out
    assert ledger.server() == target
    await well(ledger, people)


@pytest.mark.parametrize(
    ("whose", "step"), [("old", "stopping"), ("new", "building"), ("new", "stopping")]
)
async def test_the_death_of_a_server_in_the_middle_loses_nothing(
    ledger: Ledger, people: People, step: str, whose: str
) -> None:
    target = await ready(ledger)
    name = f"database.{ledger.server() if whose == 'old' else target}"
    move = await begin(ledger, target, step)
    pid = await eventually(lambda: ledger.pid(name) or move.returncode is not None, within_s=SOON_S)
    if move.returncode is None and pid is not True:
        ledger.kill(int(pid))
    await asyncio.wait_for(move.communicate(), 90.0)
    await ledger.millions("up", "--detach")
    await well(ledger, people)


async def test_ctrl_c_undoes_a_move_before_it_leaves(ledger: Ledger, people: People) -> None:
    target, before = await ready(ledger), ledger.server()
    move = await begin(ledger, target, "building")
    move.send_signal(signal.SIGINT)
    out, _ = await asyncio.wait_for(move.communicate(), 60.0)
    assert move.returncode == 130, out
    assert ledger.server() == before
    assert not ledger.state.unit(f"database.{target}").exists()
    await well(ledger, people)


async def test_a_stack_that_went_down_in_the_middle_comes_up_with_everything(
    ledger: Ledger, people: People
) -> None:
    target = await ready(ledger)
    await people.more()
    move = await begin(ledger, target, "promoting")
    if move.returncode is None:
        move.kill()
    await move.wait()
    await ledger.millions("down")
    await ledger.millions("up", "--detach")
    assert ledger.server() == target
    await well(ledger, people)


async def test_deploy_waits_for_a_move_that_is_half_done(ledger: Ledger, people: People) -> None:
    target = await ready(ledger)
    move = await begin(ledger, target, "building")
    if move.returncode is None:
        move.kill()
    await move.wait()
    (ledger.folder / "another.txt").write_text("another release")
    said = await ledger.millions("deploy", status=1)
    assert "is half done" in said
    await ledger.millions("up", "--detach")
    await well(ledger, people)
