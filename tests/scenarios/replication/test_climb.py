"""Replicas come to a database that was alone, and go again; what was written in between stays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from replicated import ALONE, Replicated

from millions.testing import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(240)

STARTED = "SELECT pg_postmaster_start_time()"
TIMELINE = "SELECT left(pg_walfile_name(pg_current_wal_flush_lsn()), 8)"


@pytest.fixture(scope="module")
def alone(root: Path) -> Iterator[Replicated]:
    """A stack whose database is alone."""
    made = Replicated(root=root)
    made.make()
    made.edit("[consensus]", ALONE)
    try:
        made.millions("up", "--detach")
        yield made
    finally:
        made.end()


async def is_heard(alone: Replicated, words: str) -> None:
    """What the server logs is in the unit's log, whoever started it."""
    alone.execute(f"DO $$ BEGIN RAISE LOG '{words}'; END $$")
    await eventually(lambda: words in alone.millions("logs", "--unit", "database.1"))


async def test_the_server_goes_on_while_a_cluster_comes_and_goes(alone: Replicated) -> None:
    began = alone.execute(STARTED)
    for number in range(2):
        alone.edit(ALONE, "[consensus]")
        alone.millions("up", "--detach")
        await alone.settled()
        assert alone.execute(STARTED) == began
        quorum = alone.execute("SELECT sync_state FROM pg_stat_replication")
        assert quorum == [("quorum",)] * 2
        alone.edit("[consensus]", ALONE)
        alone.millions("up", "--detach")
        assert alone.execute(STARTED) == began
        assert alone.execute("SHOW synchronous_standby_names") == [("",)]
        await is_heard(alone, f"round {number} is heard")
    alone.edit("memory_mib = 64", "memory_mib = 65")
    alone.millions("up", "--detach")
    assert alone.execute(STARTED) > began
    alone.edit("memory_mib = 65", "memory_mib = 64")


async def test_a_database_gets_replicas_and_loses_them_with_all_its_data(
    alone: Replicated,
) -> None:
    alone.execute("CREATE TABLE kept (step text)")
    alone.execute("INSERT INTO kept VALUES ('alone')")
    timeline = alone.execute(TIMELINE)
    alone.edit(ALONE, "[consensus]")
    alone.millions("up", "--detach")
    await alone.settled()
    assert alone.leader() == "database.1"
    assert alone.execute(TIMELINE) == timeline  # it went on as the primary; nobody was promoted
    alone.execute("INSERT INTO kept VALUES ('replicated')")

    alone.millions("switchover", "--to", "database.2")
    await alone.settled()
    alone.edit("[consensus]", ALONE)
    refused = alone.millions("up", "--detach", status=None)
    assert "database.2 leads and has the newest data" in refused
    assert "millions switchover --to database.1" in refused
    assert alone.leader() == "database.2"

    alone.millions("switchover", "--to", "database.1")
    await alone.settled()
    alone.millions("up", "--detach")
    alone.execute("INSERT INTO kept VALUES ('alone again')")

    alone.edit(ALONE, "[consensus]")
    alone.millions("up", "--detach")
    await alone.settled()
    steps = ("alone", "replicated", "alone again")
    assert alone.execute("SELECT step FROM kept") == [(step,) for step in steps]
    alone.millions("switchover")
    assert alone.execute("SELECT step FROM kept") == [(step,) for step in steps]


async def test_a_stopped_stack_is_not_brought_up_on_an_older_copy(alone: Replicated) -> None:
    await alone.settled()
    if alone.leader() == "database.1":
        alone.millions("switchover")
        await alone.settled()
    leader = alone.leader()
    alone.execute("INSERT INTO kept VALUES ('elsewhere')")
    alone.millions("down")
    alone.edit("[consensus]", ALONE)
    refused = alone.millions("up", "--detach", status=None)
    assert f"{leader} has the newest data" in refused
    alone.edit(ALONE, "[consensus]")
    alone.millions("up", "--detach")
    assert ("elsewhere",) in alone.execute("SELECT step FROM kept")


async def test_a_replica_for_which_there_is_no_memory_is_refused(alone: Replicated) -> None:
    if ALONE in alone.file.read_text():
        alone.edit(ALONE, "[consensus]")
    alone.edit("memory_mib = 64", "memory_mib = 4000000")
    refused = alone.millions("up", "--detach", status=None)
    alone.edit("memory_mib = 4000000", "memory_mib = 64")
    assert "cannot run 3 servers of the database here" in refused
    assert "memory_mib" in refused
