"""A move that would fail or lose something must be refused, or undone, and say why."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from millions.cli.moving.servers import Server, following, is_standby
from millions.model import Address
from millions.runtime import processes
from millions.testing import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ledger import Ledger

pytestmark = pytest.mark.timeout(300)  # a move takes seconds, on a busy machine many

SOON_S = 30.0
EXIT_FAILED, EXIT_WRONG, EXIT_MACHINE, EXIT_REFUSED = 1, 2, 3, 6


@pytest_asyncio.fixture
async def standby(ledger: Ledger) -> AsyncIterator[Server]:
    """The server that a move to number 2 makes, for an administrator."""
    address = Address(host=f"127.{ledger.state.identity.network}.2.2", port=5432)
    made = Server(address, ledger.state.secrets / "database-admin")
    yield made
    await made.close()


@pytest_asyncio.fixture
async def primary(ledger: Ledger) -> AsyncIterator[Server]:
    """The server that moves, for an administrator."""
    address = Address(host=f"127.{ledger.state.identity.network}.2.1", port=5432)
    made = Server(address, ledger.state.secrets / "database-admin")
    yield made
    await made.close()


async def untouched(ledger: Ledger) -> None:
    """Nothing of a move is left, and the stack is well where it was."""
    assert ledger.step() is None
    assert ledger.server() == 1
    assert not ledger.state.unit("database.2").exists()
    assert await ledger.sql("SELECT count(*) FROM pg_replication_slots") == ["0"]
    await ledger.millions("status")


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("--to", "1"), EXIT_WRONG, "because: it is there"),
        (("--to", "99"), EXIT_WRONG, "servers of the database have the numbers 1 to"),
        ((), EXIT_WRONG, "--to SERVER"),
        (("--to", "2", "--memory", "4194304"), EXIT_MACHINE, "because: this machine has"),
    ],
    ids=["where it is", "no such number", "no number", "no such memory"],
)
async def test_what_cannot_be_changes_nothing(
    ledger: Ledger, arguments: tuple[str, ...], status: int, said: str
) -> None:
    assert said in await ledger.millions("move", "database", *arguments, status=status)
    await untouched(ledger)


async def test_a_stack_file_that_says_something_else_is_brought_up_first(ledger: Ledger) -> None:
    before = ledger.file.read_text()
    ledger.file.write_text(before.replace("memory_mib = 64", "memory_mib = 65"))
    said = await ledger.millions("move", "database", "--to", "2", status=EXIT_FAILED)
    ledger.file.write_text(before)
    assert "says something else than what runs" in said
    await untouched(ledger)


async def test_a_slot_that_would_stay_behind_is_named(ledger: Ledger, primary: Server) -> None:
    make = "SELECT pg_create_logical_replication_slot('elsewhere', 'pgoutput')"
    await primary.ask(lambda each: each.execute(make))
    said = await ledger.millions("move", "database", "--to", "2", status=EXIT_FAILED)
    await primary.ask(lambda each: each.execute("SELECT pg_drop_replication_slot('elsewhere')"))
    assert "(slot elsewhere)" in said
    await untouched(ledger)


async def test_a_standby_that_does_not_replay_never_takes_over(
    ledger: Ledger, standby: Server
) -> None:
    move = await ledger.begin("move", "database", "--to", "2")
    try:
        pause = "SELECT pg_wal_replay_pause()"
        await standby.ask_within(lambda each: each.execute(pause), within_s=SOON_S)
        out, _ = await asyncio.wait_for(move.communicate(), SOON_S)
    finally:
        end(move)
    assert move.returncode == EXIT_FAILED
    assert b"its replay is paused" in out or b"has not replayed the end" in out
    await untouched(ledger)


async def follows(primary: Server) -> bool:
    """Whether the new server gets what is written; one that is frozen before never would."""
    found = await primary.ask(lambda each: following(each, "database.2"))
    return found is not None and found.lag_bytes >= 0


async def test_without_proof_that_nothing_is_missing_the_old_server_goes_on(
    ledger: Ledger, primary: Server, standby: Server
) -> None:
    """The process that replays is frozen: the old server stops cleanly, the new one lacks a bit."""
    await ledger.sql("CREATE TABLE many AS SELECT repeat('x', 900) FROM generate_series(1, 40000)")
    move = await ledger.begin("move", "database", "--to", "2")
    try:
        await standby.ask_within(is_standby, within_s=SOON_S)
        await eventually(lambda: follows(primary), within_s=SOON_S)
        frozen = await eventually(lambda: replaying(ledger.pid("database.2")), within_s=SOON_S)
        os.kill(frozen, signal.SIGSTOP)
        out, _ = await asyncio.wait_for(move.communicate(), SOON_S)
    finally:
        end(move)
    assert b"it is not proven to have everything" in out
    assert b"database.1 goes on" in out
    await untouched(ledger)
    assert await ledger.sql("SELECT count(*) FROM many") == ["40000"]


async def test_a_frozen_standby_holds_up_the_old_server_for_seconds_only(
    ledger: Ledger, primary: Server
) -> None:
    move = await ledger.begin("move", "database", "--to", "2")
    try:
        await eventually(lambda: follows(primary), within_s=SOON_S)
        frozen = processes.identify(ledger.pid("database.2"))
        assert frozen is not None
        os.kill(frozen.pid, signal.SIGSTOP)  # first: it starts no other one then
        for pid in processes.descendants(frozen.pid):
            with contextlib.suppress(ProcessLookupError):  # it ended meanwhile
                os.kill(pid, signal.SIGSTOP)
        out, _ = await asyncio.wait_for(move.communicate(), 90.0)
    finally:
        end(move)
    assert move.returncode == EXIT_FAILED, out
    await untouched(ledger)


async def test_the_way_back_asks_before_what_was_kept_is_erased(ledger: Ledger) -> None:
    await ledger.move(2)
    said = await ledger.millions("move", "database", "--to", "1", status=EXIT_REFUSED)
    assert "keeps what was there before an earlier move" in said
    ledger.file.write_text(ledger.file.read_text().replace("server = 2", "server = 1"))
    said = await ledger.millions("up", "--detach", status=EXIT_REFUSED)
    assert "the data is on database.2" in said
    ledger.file.write_text(ledger.file.read_text().replace("server = 1", "server = 2"))
    await ledger.millions("move", "database", "--erase-former", "--yes")
    assert not (ledger.state.unit("database.1") / "data").exists()
    await ledger.move(1)


def replaying(pid: int) -> int:
    """The pid of the process that replays for the server; 0 while there is none."""
    for each in processes.descendants(pid) if pid else ():
        with suppress(OSError):
            if b"startup" in Path(f"/proc/{each}/cmdline").read_bytes():
                return each
    return 0


def end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
