"""A restored database must hold exactly what was written until that moment, and nothing later."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from vault import archived, lines, moment, told, write

if TYPE_CHECKING:
    from ledger import Ledger

pytestmark = pytest.mark.timeout(300)  # several stacks come up, one after the other

EXIT_FAILED, EXIT_WRONG = 1, 2


async def test_the_moment_between_two_writes_is_restored_exactly(ledger: Ledger) -> None:
    await archived(ledger)
    write(ledger, "a", "b")
    between = await moment(ledger)
    write(ledger, "c")
    taken = await ledger.millions("backup")
    assert "is complete" in taken
    write(ledger, "d")
    after = await moment(ledger)
    assert await lines(ledger, "--at", between, name="between") == ["a", "b"]
    assert await lines(ledger, "--at", after, name="after") == ["a", "b", "c", "d"]
    assert [each["kind"] for each in (await told(ledger))["backups"]] == ["full", "incremental"]


async def test_a_move_of_the_database_leaves_no_gap(ledger: Ledger) -> None:
    write(ledger, "before-the-move")
    before = await moment(ledger)
    await ledger.move(2)
    write(ledger, "after-the-move")
    after = await moment(ledger)
    write(ledger, "last")
    await archived(ledger)
    everything = await ledger.sql("SELECT name FROM lines ORDER BY at")
    assert everything[-3:] == ["before-the-move", "after-the-move", "last"]
    assert await lines(ledger, "--at", before, name="b") == everything[:-2]
    await ledger.millions("backup", "--full")
    first = (await told(ledger))["backups"][0]["name"]
    assert await lines(ledger, "--at", after, "--backup", first, name="a") == everything[:-1]


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("--into", "."), EXIT_FAILED, "is not an empty folder"),
        (("--into", "new"), EXIT_FAILED, "in the folder of the stack itself"),
        (("--into", "../new", "--at", "2001-02-03T04:05:06"), EXIT_FAILED, "is younger than that"),
        (("--into", "../new", "--at", "2999-01-01T00:00:00"), EXIT_FAILED, "is in the future"),
        (("--into", "../new", "--at", "noon"), EXIT_WRONG, "Invalid isoformat"),
        (("--into", "../new", "--backup", "none"), EXIT_FAILED, "there is no backup none"),
    ],
    ids=["in use", "inside", "too early", "future", "no time", "no backup"],
)
async def test_what_cannot_be_restored_changes_nothing(
    ledger: Ledger, arguments: tuple[str, ...], status: int, said: str
) -> None:
    assert said in await ledger.millions("restore", *arguments, status=status)
    assert not (ledger.root / "new").exists()
    await ledger.millions("status")


async def test_a_restored_stack_is_one_of_its_own(ledger: Ledger) -> None:
    folder = ledger.root / "own"
    await ledger.millions("restore", "--into", str(folder))
    text = (folder / "millions.toml").read_text()
    assert "rung = 1" in text
    assert "[backup]" not in text  # else both would write into one archive
    assert f":{ledger.port}" not in text
    await ledger.millions("restore", "--into", str(folder), status=EXIT_FAILED)
