"""The archive must go on after every death, never stop the database, and say what it lacks."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest
from vault import UNIT, archived, lines, parts, receiver, rows, told, write

from millions.cli.moving.servers import Server
from millions.model import Address
from millions.runtime import processes
from millions.testing import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from ledger import Ledger

pytestmark = pytest.mark.timeout(300)  # several stacks come up, one after the other

SOON_S = 60.0
SEGMENT_BYTES = 16 * 1_048_576


async def test_deaths_of_receiver_keeper_and_database_leave_no_gap(ledger: Ledger) -> None:
    await archived(ledger)
    for name, victim in (
        ("receiver", lambda: receiver(ledger)),
        ("keeper", lambda: ledger.pid(UNIT)),
        ("database", lambda: ledger.pid("database.1")),
    ):
        write(ledger, name)
        await eventually(lambda victim=victim: ledger.kill(victim()), within_s=SOON_S)
    await archived(ledger)
    write(ledger, "end")
    assert await lines(ledger, name="all") == ["receiver", "keeper", "database", "end"]
    assert len(rows(ledger)) == 1


async def running(pid: Callable[[], int]) -> processes.Identity:
    """The process of that number, which may be 0 for a moment."""
    return await eventually(lambda: processes.identify(pid()), within_s=SOON_S)


async def killed(ledger: Ledger) -> bool:
    """SIGKILL who receives; whether it is gone."""
    victim = await running(lambda: receiver(ledger))
    return processes.send(victim, signal.SIGKILL) and processes.wait_gone((victim,))


def administered(ledger: Ledger) -> Server:
    """The database, as its administrator; close it."""
    address = Address(host=f"127.{ledger.state.identity.network}.2.1", port=5432)
    return Server(address, ledger.state.secrets / "database-admin")


async def test_a_receiver_that_died_while_it_made_room_for_a_segment_goes_on(
    ledger: Ledger,
) -> None:
    await archived(ledger)
    known = set(parts(ledger))
    primary, keeper = administered(ledger), await running(lambda: ledger.pid(UNIT))
    assert processes.send(keeper, signal.SIGSTOP)
    try:
        await primary.ask(lambda each: each.execute("SELECT pg_switch_wal()"))
        write(ledger, "begins-a-segment")
        part = await eventually(lambda: set(parts(ledger)) - known, within_s=SOON_S)
        assert await killed(ledger)
        os.truncate(part.pop(), 1_048_576)  # as far as it comes with its first write
    finally:
        processes.send(keeper, signal.SIGCONT)
        await primary.close()
    write(ledger, "goes-on")

    async def whole() -> bool:
        return all(part.stat().st_size == SEGMENT_BYTES for part in parts(ledger))

    await eventually(whole, within_s=SOON_S)
    await archived(ledger)
    assert (await lines(ledger, name="made-room"))[-2:] == ["begins-a-segment", "goes-on"]
    assert len(rows(ledger)) == 1


async def test_a_folder_that_takes_nothing_stops_no_write_and_is_told(ledger: Ledger) -> None:
    await archived(ledger)
    (row,) = rows(ledger)
    row.chmod(0o000)
    try:
        assert await killed(ledger)

        async def problem() -> str:
            found: str = (await told(ledger))["archive"]["problem"]
            return found

        assert await eventually(problem, within_s=SOON_S)
        write(ledger, "meanwhile")
        assert "is not archived since" in await ledger.millions("status")
    finally:
        row.chmod(0o700)
    await archived(ledger)
    assert "what is written is archived" in await ledger.millions("status")


async def test_a_broken_row_begins_anew_with_another_backup(ledger: Ledger) -> None:
    """The database dropped what was not archived yet: from there on everything is kept again."""
    before = len((await archived(ledger))["backups"])
    primary, keeper = administered(ledger), await running(lambda: ledger.pid(UNIT))
    assert processes.send(keeper, signal.SIGSTOP)
    try:
        assert await killed(ledger)
        drop = "SELECT pg_drop_replication_slot('millions_backup')"
        await eventually(lambda: primary.ask(lambda each: each.execute(drop)), within_s=SOON_S)
        for number in range(4):
            write(ledger, f"lost-{number}")
            await primary.ask(lambda each: each.execute("SELECT pg_switch_wal()"))
            await primary.ask(lambda each: each.execute("CHECKPOINT"))
    finally:
        processes.send(keeper, signal.SIGCONT)
        await primary.close()
    await eventually(lambda: len(rows(ledger)) == 2, within_s=SOON_S)
    ledger.kill(ledger.pid(UNIT))  # whoever comes after knows that a backup is due
    await archived(ledger, backups=before + 1)
    assert len(rows(ledger)) == 2
    write(ledger, "in-the-new-row")
    everything = await ledger.sql("SELECT name FROM lines ORDER BY at")
    assert await lines(ledger, name="new-row") == everything
