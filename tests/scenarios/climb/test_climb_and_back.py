"""A climb must lose nothing and fail no request, up and down, whatever it is killed at."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
from typing import TYPE_CHECKING

import pytest

from millions.cli.climbing import record
from millions.climb import record as events
from millions.climb.table import State
from millions.testing import eventually

if TYPE_CHECKING:
    from ledger import Ledger, People

pytestmark = pytest.mark.timeout(420)  # a climb takes half a minute, on a busy machine several

UP = ("database", "balancer")
KILLED = (
    ("database", State.CHANGING),
    ("database", State.PROVING),
    ("balancer", State.CHANGING),
    ("consensus", State.CHANGING),
    ("consensus", State.PROVING),
)
INTERRUPTED = 130
DOWN = UP[::-1]


async def nothing_is_lost(ledger: Ledger, people: People) -> None:
    await people.more(20)
    await people.stop()
    assert people.missed == []
    assert await people.accounts() == (set(), [])


async def well(ledger: Ledger) -> None:
    async def settled() -> bool:
        said = await ledger.millions("status", "--json", status=None)
        return bool(json.loads(said)["well"])

    await eventually(settled, within_s=30)


def told(ledger: Ledger) -> list[tuple[str, str]]:
    """The steps that ended or were undone, in their order."""
    text = (ledger.state.path / events.FILE).read_text()
    found = [each for each in events.events(text) if each.kind == "step"]
    return [(each.name, each.state) for each in found if each.state in {"ended", "undone"}]


async def test_nothing_is_lost_while_a_stack_climbs_up_and_down(
    ledger: Ledger, people: People
) -> None:
    said = json.loads(await ledger.millions("climb", "3", "--json"))
    assert (said["done"], [each["step"] for each in said["steps"]]) == (True, list(UP))
    assert ledger.settings()["rung"] == 3
    assert ledger.server() == 2
    assert "# The ledger, as a person wrote it." in ledger.file.read_text()
    assert told(ledger) == [(name, "ended") for name in UP]
    await people.more(20)
    assert people.failures == []
    await ledger.millions("climb", "1", "--yes")
    assert people.failures == []
    assert told(ledger) == [(name, "ended") for name in DOWN]
    assert (ledger.settings()["rung"], ledger.server()) == (1, 1)
    kept = [path.parents[2].name for path in ledger.state.units.glob("database.*/data/*/base")]
    assert kept == ["database.1"]
    await nothing_is_lost(ledger, people)
    await well(ledger)


async def killed_at(
    ledger: Ledger, arguments: tuple[str, ...], name: str, at: State, *, back: bool = False
) -> None:
    """Begin the command and SIGKILL it where the climb stands there, sometimes the supervisor too.

    A proof may be given within a millisecond: then it is killed a little later, anywhere.
    """
    command = await ledger.begin(*arguments)
    while command.returncode is None and not stands_at(ledger, name, at, back=back):  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    assert command.returncode is None, (await command.communicate())[0].decode()
    command.kill()
    await command.wait()
    if at is State.CHANGING and ledger.supervisor():
        ledger.kill_alone(ledger.supervisor())


def stands_at(ledger: Ledger, name: str, at: State, *, back: bool) -> bool:
    """Whether the climb goes there, or back, and is at this step and state or past it."""
    found = record.read(ledger.state)
    if found is None or name not in found.names or back is (found.turned is None):
        return False
    step, states = found.names.index(name), (State.CHANGING, State.PROVING)
    meant = states if at is State.CHANGING else states[1:]
    return found.at > step or (found.at == step and found.state in meant)


async def test_a_climb_that_is_killed_goes_on_and_back(ledger: Ledger, people: People) -> None:
    before = ledger.file.read_text()
    # to one rung more than it is killed at: a proof of milliseconds would end a last step
    arguments: tuple[str, ...] = ("climb", "5")
    for name, at in KILLED:
        await killed_at(ledger, arguments, name, at)
        arguments = ("climb", "--resume")
    refused = await ledger.millions("up", "--detach", status=1)
    assert "a climb from rung 1 to 5 is not at its end" in refused
    assert "millions climb --resume" in refused
    assert "a climb from rung 1 to 5" in await ledger.millions("status", status=None)
    arguments = ("climb", "--undo")
    for name in ("consensus", "database"):
        await killed_at(ledger, arguments, name, State.CHANGING, back=True)
        arguments = ("climb", "--resume")
    await ledger.millions("climb", "--resume")
    assert ledger.file.read_text() == before
    assert record.read(ledger.state) is None
    await nothing_is_lost(ledger, people)
    await well(ledger)


async def test_a_climb_goes_on_after_a_pause_after_ctrl_c_and_after_down(
    ledger: Ledger, people: People
) -> None:
    ledger.file.write_text("# A person's words.\n" + ledger.file.read_text())
    await ledger.millions("climb", "3", "--pause-after", "database")
    paused = record.read(ledger.state)
    assert paused is not None
    assert (paused.at, paused.names) == (1, ("database", "balancer"))
    command = await ledger.begin("climb", "--resume")
    await eventually(lambda: stands_at(ledger, "balancer", State.CHANGING, back=False), within_s=60)
    command.send_signal(signal.SIGINT)
    said, _ = await asyncio.wait_for(command.communicate(), 60)
    assert command.returncode == INTERRUPTED, said.decode()
    await people.more(20)
    await people.stop()
    assert people.failures == []
    await ledger.millions("down")
    await ledger.millions("climb", "--resume")
    assert record.read(ledger.state) is None
    assert ledger.settings()["rung"] == 3
    assert ledger.file.read_text().startswith("# A person's words.\n")
    assert "nothing to do" in await ledger.millions("apply", "--plan")
    await ledger.millions("climb", "1", "--yes")
    assert await people.accounts() == (set(), [])
    await well(ledger)


async def test_members_that_are_to_go_and_were_taken_down_come_back_to_hand_over(
    ledger: Ledger, people: People
) -> None:
    await ledger.millions("climb", "3")
    server = ledger.postmaster(2)
    await ledger.millions("climb", "4")
    assert ledger.postmaster(2) == server  # it came under Patroni without a restart
    await ledger.millions("switchover")  # now one leads that is to go
    await people.more(20)
    await killed_at(ledger, ("climb", "1", "--yes"), "consensus", State.CHANGING)
    await people.stop()
    assert people.missed == []
    await ledger.millions("down")
    await ledger.millions("climb", "--resume")
    assert (record.read(ledger.state), ledger.settings()["rung"]) == (None, 1)
    assert await people.accounts() == (set(), [])
    await well(ledger)


async def test_another_table_of_the_application_stays_with_the_next_climb(ledger: Ledger) -> None:
    kept = ledger.file.read_text()
    web = 'web = "ledger_app:app"'
    edited = kept.replace(web, f"{web}\nmigrate_within_s = 33")
    assert edited != kept
    ledger.file.write_text(edited)
    await ledger.millions("apply")
    assert "nothing to do" in await ledger.millions("apply")
    ledger.file.write_text(edited.replace("rung = 1", "rung = 2"))
    said = await ledger.millions("apply")  # as `climb 2`: the database moves
    assert (ledger.server(), ledger.settings()["app"]["migrate_within_s"]) == (2, 33), said
    assert "nothing to do" in await ledger.millions("apply")
    other = ledger.folder / "other.toml"  # the application's table and two tiers at once
    other.write_text(edited.replace("rung = 1", "rung = 3").replace("= 33", "= 44"))
    said = json.loads(await ledger.millions("climb", str(other), "--yes", "--json"))
    assert [each["step"] for each in said["steps"]] == ["app", "database", "balancer"]
    assert ledger.file.read_text() == other.read_text()
    assert "nothing to do" in await ledger.millions("apply")
    await ledger.millions("climb", "1", "--yes")
    assert ledger.settings()["app"]["migrate_within_s"] == 44
    ledger.file.write_text(kept)
    await ledger.millions("apply")


async def test_somebody_at_a_terminal_sees_steps_servers_and_what_users_do(
    ledger: Ledger, people: People
) -> None:
    await people.more(5)
    drawn = await ledger.at_terminal("climb", "2", "--yes")
    seen = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", drawn)
    assert re.search(r"✓ +database", seen), seen
    assert "─ web ─" in seen
    assert max(float(each) for each in re.findall(r"(\d+)/s", seen)) > 0, seen
    assert "longest pause" not in seen  # nobody knows it: these are people's own users
    assert "writes waited for" in seen  # what stays on the screen is not drawn over
    await ledger.millions("climb", "1", "--yes")
    await nothing_is_lost(ledger, people)


async def test_what_cannot_be_changes_nothing(ledger: Ledger) -> None:
    other = ledger.folder / "other.toml"
    other.write_text(ledger.file.read_text().replace('"ledger"', '"another"'))
    assert "[app] name is 'another'" in await ledger.millions("climb", str(other), status=2)
    assert "not yet" in await ledger.millions("climb", "8", status=2)
    assert "there is no such file" in await ledger.millions("climb", "none.toml", status=2)
    assert "cannot pause after lunch" in await ledger.millions(
        "climb", "3", "--pause-after", "lunch", status=1
    )
    large = ledger.file.read_text().replace("rung = 1", "rung = 4")
    other.write_text(large.replace("memory_mib = 64", "memory_mib = 100_000"))
    assert "is tuned for 100000 MiB" in await ledger.millions("climb", str(other), status=None)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        elsewhere = large.replace("rung = 4", "rung = 3").replace(f":{ledger.port}", f":{port}")
        assert elsewhere.count(str(port)) == 1
        other.write_text(elsewhere)
        said = await ledger.millions("climb", str(other), status=None)
        assert f"cannot listen on 127.0.0.1:{port}" in said
    assert ledger.server() == 1
    assert record.read(ledger.state) is None
    assert "none is under way" in await ledger.millions("climb", "--resume", status=1)
    edited = ledger.file.read_text().replace("drain_s = 3", "drain_s = 4")
    kept = ledger.file.read_text()
    ledger.file.write_text(edited)
    assert "millions apply" in await ledger.millions("climb", "3", status=1)
    assert "settings" in await ledger.millions("apply", "--plan")
    await ledger.millions("apply")
    assert "nothing to do" in await ledger.millions("apply")
    ledger.file.write_text(kept)
    await ledger.millions("apply")
    assert await asyncio.to_thread((ledger.state.path / "running.toml").read_text) == kept
