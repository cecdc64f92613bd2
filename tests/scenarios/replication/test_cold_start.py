"""After the death of everything `up` must find all that was acknowledged, from whom has it."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from millions.runtime import supervisor
from millions.testing import eventually

if TYPE_CHECKING:
    from replicated import Replicated

pytestmark = pytest.mark.timeout(180)


async def test_everything_killed_at_once_loses_nothing(stack: Replicated) -> None:
    writer = stack.writer("everything")
    with writer:
        await eventually(lambda: len(writer.acknowledged) > 200, within_s=20)
        stack.kill_everything()
    assert supervisor.running(stack.state) is None
    stack.millions("up", "--detach")
    assert stack.faults(writer) == []
    await stack.settled()


async def test_a_supervisor_that_died_frees_the_lease_of_who_died_meanwhile(
    stack: Replicated,
) -> None:
    await stack.settled()
    former, writer = stack.leader(), stack.writer("unsupervised")
    with writer:
        await eventually(lambda: len(writer.acknowledged) > 50, within_s=20)
        stack.kill_supervisor()
        stack.kill_server(former)
        count = len(writer.acknowledged)
        stack.millions("status", status=None)
        supervisor.ensure(stack.state)
        await eventually(lambda: len(writer.acknowledged) > count + 50, within_s=15)
    assert stack.faults(writer) == []
    assert stack.leader() != former
    await stack.settled()


async def test_the_member_with_the_newest_data_begins_when_the_consensus_forgot_all(
    stack: Replicated,
) -> None:
    await stack.settled()
    if stack.leader() == "database.1":
        stack.millions("switchover")
        await stack.settled()
    former, writer = stack.leader(), stack.writer("forgotten")
    assert former != "database.1"
    with writer:
        await eventually(lambda: len(writer.acknowledged) > 100, within_s=20)
    stack.millions("down")
    for number in (1, 2, 3):
        shutil.rmtree(stack.state.unit(f"consensus.{number}") / "data" / "etcd")
    stack.millions("up", "--detach")
    assert stack.faults(writer) == []
    assert stack.leader() == former
    await stack.settled()
