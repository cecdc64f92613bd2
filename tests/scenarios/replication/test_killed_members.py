"""No acknowledged row must be lost, none be there twice, and writes must be back soon."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import pytest

from millions.runtime import processes
from millions.testing import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from replicated import Replicated
    from writer import Writer

pytestmark = pytest.mark.timeout(180)

BACK_WITHIN_S = 10.0
"""Much more than it takes (docs/performance.md), half of the lease of 20 s."""

QUIET_S = 3.0
"""What an event may cost that is none for the primary, on a machine with other work."""


async def written_through(
    stack: Replicated, writer: Writer, event: Callable[[], None], within_s: float
) -> None:
    """Write, let something happen, write on; nothing may be missing."""
    await stack.settled()
    with writer:
        await eventually(lambda: len(writer.acknowledged) > 50, within_s=10)
        began = time.monotonic()
        event()
        count = len(writer.acknowledged)
        await eventually(lambda: time.monotonic() > began + 3, within_s=5)
        await eventually(lambda: len(writer.acknowledged) > count + 50, within_s=30)
        gap_s = writer.gap_s(began)
    assert stack.faults(writer) == []
    assert gap_s <= within_s, (gap_s, writer.errors[-3:])
    await stack.settled()


async def test_up_means_that_what_is_acknowledged_is_on_two_servers(stack: Replicated) -> None:
    rows = stack.execute("SELECT sync_state, state FROM pg_stat_replication")
    assert rows == [("quorum", "streaming")] * 2
    assert stack.asked(stack.leader(), "/read-only-quorum") == 200
    assert [stack.asked(name, "/quorum") for name in stack.replicas()] == [200, 200]


async def test_a_killed_postgres_is_followed_by_another_member(stack: Replicated) -> None:
    former = stack.leader()
    event = lambda: stack.signal(stack.server(former), signal.SIGKILL)  # noqa: E731
    await written_through(stack, stack.writer("postgres"), event, BACK_WITHIN_S)
    assert stack.leader() != former


async def test_a_killed_server_is_followed_by_another_member(stack: Replicated) -> None:
    former = stack.leader()
    await written_through(
        stack, stack.writer("server"), lambda: stack.kill_server(former), BACK_WITHIN_S
    )
    assert stack.leader() != former


async def test_a_postgres_that_dies_a_moment_after_its_patroni_is_followed(
    stack: Replicated,
) -> None:
    await stack.settled()
    former = stack.leader()
    agent, server = stack.identity(former), stack.server(former)

    def one_after_the_other() -> None:
        stack.signal(agent, signal.SIGKILL)
        assert processes.wait_gone((agent,))  # its burial begins
        processes.kill_tree(server)

    writer = stack.writer("a moment after")
    await written_through(stack, writer, one_after_the_other, BACK_WITHIN_S)
    assert stack.leader() != former


async def test_a_killed_patroni_is_started_again_and_its_postgres_goes_on(
    stack: Replicated,
) -> None:
    await stack.settled()
    leader = stack.leader()
    agent, server = stack.identity(leader), stack.server(leader)
    event = lambda: stack.signal(agent, signal.SIGKILL)  # noqa: E731
    await written_through(stack, stack.writer("patroni"), event, QUIET_S)
    assert stack.leader() == leader
    assert stack.server(leader) == server
    assert stack.identity(leader) != agent


@pytest.mark.parametrize("whose", ["patroni", "postgres"])
async def test_a_frozen_primary_is_killed_and_followed(stack: Replicated, whose: str) -> None:
    await stack.settled()
    former = stack.leader()
    frozen = stack.identity(former) if whose == "patroni" else stack.server(former)
    event = lambda: stack.signal(frozen, signal.SIGSTOP)  # noqa: E731
    await written_through(stack, stack.writer(f"frozen {whose}"), event, BACK_WITHIN_S)
    await eventually(lambda: not processes.alive(frozen), within_s=10)
    assert stack.leader() != former


async def test_a_killed_replica_comes_back_and_nobody_waits_for_it(stack: Replicated) -> None:
    await stack.settled()
    leader, (replica, _) = stack.leader(), stack.replicas()
    await written_through(
        stack, stack.writer("replica"), lambda: stack.kill_server(replica), QUIET_S
    )
    assert stack.leader() == leader


async def test_a_replica_whose_data_is_erased_is_made_anew(stack: Replicated) -> None:
    await stack.settled()
    leader, replica = stack.leader(), stack.replicas()[0]
    stack.execute("CREATE TABLE kept AS SELECT 1 AS one")

    def erase() -> None:
        stack.kill_server(replica)
        erased = stack.data(replica)
        erased.rename(erased.with_name("erased"))

    await written_through(stack, stack.writer("erased"), erase, QUIET_S)
    assert stack.leader() == leader
    assert (stack.data(replica) / "PG_VERSION").exists()
    assert stack.asked(replica, "/quorum") == 200


async def test_a_replica_that_missed_too_much_is_made_anew(stack: Replicated) -> None:
    await stack.settled()
    replica = stack.replicas()[0]
    agent, server = stack.identity(replica), stack.server(replica)
    everybody = [agent, server]
    try:
        for each in (agent, server):
            stack.signal(each, signal.SIGSTOP)
        for pid in processes.descendants(server.pid):  # it starts no other one now
            found = processes.identify(pid)
            if found is not None and processes.send(found, signal.SIGSTOP):
                everybody.append(found)
        stack.write_ahead(mib=64)
    finally:
        for each in everybody:
            processes.send(each, signal.SIGCONT)
    await eventually(lambda: stack.asked(replica, "/quorum") != 200, within_s=20)
    await eventually(lambda: stack.asked(replica, "/quorum") == 200, within_s=90)
    await stack.settled()


async def test_switchover_lets_another_member_lead_and_loses_nothing(stack: Replicated) -> None:
    await stack.settled()
    former = stack.leader()

    def switch() -> None:
        said = stack.millions("switchover")
        assert "leads now" in said

    await written_through(stack, stack.writer("planned"), switch, BACK_WITHIN_S)
    assert stack.leader() != former
    assert stack.told(former)["phase"] == "ready"


async def test_switchover_lets_the_one_lead_that_is_named(stack: Replicated) -> None:
    await stack.settled()
    target = stack.replicas()[1]
    await written_through(
        stack,
        stack.writer("named"),
        lambda: (stack.millions("switchover", "--to", target), None)[1],
        1.5 * BACK_WITHIN_S,
    )
    assert stack.leader() == target
    assert "leads already" in stack.millions("switchover", "--to", target)


async def test_switchover_is_refused_when_no_replica_is_complete(stack: Replicated) -> None:
    await stack.settled()
    leader, replicas = stack.leader(), stack.replicas()
    agents = [stack.identity(name) for name in replicas]
    servers = [stack.server(name) for name in replicas]
    for each in (*agents, *servers):
        stack.signal(each, signal.SIGSTOP)
    try:
        said = stack.millions("switchover", status=None)
        assert "no replica has all that was acknowledged" in said
        assert stack.leader() == leader
    finally:
        for each in (*agents, *servers):
            processes.send(each, signal.SIGCONT)
    await stack.settled()
