"""A change that made a cluster and is undone must lose nothing of what was written to it."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
from typing import TYPE_CHECKING

import pytest
from replicated import ALONE, Replicated

from millions.cli import changing
from millions.cli.progress import Progress
from millions.errors import UnitFailedError
from millions.programs.alone import ENDS
from millions.runtime import desired, processes
from millions.testing import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from millions.runtime.desired import Desired

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def alone(root: Path) -> Iterator[Replicated]:
    """A stack whose database is alone."""
    made = Replicated(root=root)
    made.make()
    made.edit("[consensus]", ALONE)
    try:
        made.millions("up", "--detach")
        made.execute("CREATE TABLE kept (step text)")
        yield made
    finally:
        made.end()


@pytest.fixture
async def former(alone: Replicated) -> Desired:
    """What ran before the cluster, which runs now."""
    found = desired.read(alone.state.desired)
    assert found is not None
    alone.edit(ALONE, "[consensus]")
    alone.millions("up", "--detach")
    alone.edit("[consensus]", ALONE)
    await alone.settled()
    return found


def undo(alone: Replicated, former: Desired) -> None:
    with (
        pytest.raises(UnitFailedError),
        changing.undone(alone.state, former, Progress(silent=True)),
    ):
        raise UnitFailedError(cannot="go on", because="of a test", try_="nothing")


async def test_what_another_member_took_is_there_when_the_cluster_is_undone(
    alone: Replicated, former: Desired
) -> None:
    alone.millions("switchover", "--to", "database.2")
    await alone.settled()
    alone.execute("INSERT INTO kept VALUES ('elsewhere')")
    await asyncio.to_thread(undo, alone, former)
    left = desired.read(alone.state.desired)
    assert left is not None
    assert left.units == former.units
    alone.execute("INSERT INTO kept VALUES ('alone again')")
    assert alone.execute("SELECT step FROM kept") == [("elsewhere",), ("alone again",)]


async def test_a_leader_that_died_and_was_not_promoted_again_takes_writes_alone(
    alone: Replicated, former: Desired
) -> None:
    assert alone.leader() == "database.1"
    alone.execute("TRUNCATE kept")
    alone.execute("INSERT INTO kept VALUES ('before')")
    standby = alone.data("database.1") / "standby.signal"
    consensus = [alone.identity(f"consensus.{number}") for number in (1, 2)]
    frozen = [alone.identity("database.2"), alone.identity("database.3"), *consensus]
    for each in frozen[:2]:
        os.kill(each.pid, signal.SIGSTOP)  # nobody follows
    try:
        alone.kill_server("database.1")
        await eventually(standby.exists, within_s=30, saying="it is started as a standby")
        for each in consensus:
            os.kill(each.pid, signal.SIGSTOP)  # nobody leads
        now = desired.read(alone.state.desired)
        assert now is not None
        back = dataclasses.replace(former, generation=now.generation + 1)
        await asyncio.to_thread(changing.written, alone.state, back, Progress(silent=True))
    finally:
        for each in frozen:
            processes.send(each, signal.SIGCONT)
    assert (alone.state.unit("database.1") / "data" / ENDS).exists(), "it was a standby"
    alone.execute("INSERT INTO kept VALUES ('alone')")
    assert alone.execute("SELECT step FROM kept") == [("before",), ("alone",)]
