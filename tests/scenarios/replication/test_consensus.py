"""The loss of members of the consensus must stop no write."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import pytest

from millions.runtime import processes
from millions.testing import eventually

if TYPE_CHECKING:
    from replicated import Replicated
    from writer import Writer

pytestmark = pytest.mark.timeout(180)

QUIET_S = 3.0
"""What goes on is delayed less than this, on a machine with other work too."""

WITHOUT_MAJORITY_S = 8.0
"""Longer than Patroni's own bounds for an answer, after which it would step down."""


async def writes_on(stack: Replicated, writer: Writer, seconds: float) -> float:
    """Write for so long; the longest gap in it."""
    began = time.monotonic()
    await eventually(lambda: time.monotonic() > began + seconds, within_s=seconds + 5)
    return writer.gap_s(began)


@pytest.mark.parametrize("whom", ["a follower", "the leader"])
async def test_the_death_of_a_member_of_the_consensus_stops_no_write(
    stack: Replicated, whom: str
) -> None:
    await stack.settled()
    leads, writer = stack.consensus_leader(), stack.writer(f"consensus {whom}")
    numbers = [f"consensus.{n}" for n in (1, 2, 3)]
    name = leads if whom == "the leader" else next(each for each in numbers if each != leads)
    database = stack.leader()
    with writer:
        await eventually(lambda: len(writer.acknowledged) > 50, within_s=10)
        stack.signal(stack.identity(name), signal.SIGKILL)
        gap_s = await writes_on(stack, writer, 4.0)
    assert stack.faults(writer) == []
    assert gap_s < QUIET_S
    await stack.settled()
    assert stack.leader() == database


async def test_without_a_majority_writes_go_on_and_the_same_member_leads_after(
    stack: Replicated,
) -> None:
    await stack.settled()
    leader, writer = stack.leader(), stack.writer("no majority")
    frozen = [stack.identity(f"consensus.{n}") for n in (1, 2)]
    with writer:
        await eventually(lambda: len(writer.acknowledged) > 50, within_s=10)
        for each in frozen:
            stack.signal(each, signal.SIGSTOP)
        try:
            gap_s = await writes_on(stack, writer, WITHOUT_MAJORITY_S)
        finally:
            for each in frozen:
                processes.send(each, signal.SIGCONT)
        again_s = await writes_on(stack, writer, 4.0)
    assert stack.faults(writer) == []
    assert max(gap_s, again_s) < QUIET_S
    await stack.settled()
    assert stack.leader() == leader


async def test_without_a_majority_nobody_follows_a_dead_primary_until_it_is_back(
    stack: Replicated,
) -> None:
    await stack.settled()
    former, writer = stack.leader(), stack.writer("dead without majority")
    with writer:
        await eventually(lambda: len(writer.acknowledged) > 50, within_s=10)
        frozen = [stack.identity(f"consensus.{n}") for n in (1, 2)]
        for each in frozen:
            stack.signal(each, signal.SIGSTOP)
        try:
            stack.kill_server(former)
            count = len(writer.acknowledged)
            await writes_on(stack, writer, 3.0)
            assert len(writer.acknowledged) <= count + 1  # the one that was on its way
            assert [stack.asked(name, "/primary") for name in stack.replicas()] != [200, 200]
        finally:
            for each in frozen:
                processes.send(each, signal.SIGCONT)
        count = len(writer.acknowledged)
        await eventually(lambda: len(writer.acknowledged) > count + 50, within_s=40)
    assert stack.faults(writer) == []
    await stack.settled()
