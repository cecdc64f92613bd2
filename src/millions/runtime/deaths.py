"""Deaths and leases: who held a leadership and is dead, or as good as dead, gives it free at once.

Never frees what a living process could still use: everything of the unit is killed and seen dead
first. A daemon that its own agent stops is not disturbed unless it leads.

Source: `docs/decisions/0009-failover.md`; STONITH of cluster managers.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from millions.errors import ConsensusError
from millions.model import Phase
from millions.runtime import belonging, etcd, pidfiles, placeholders, processes

if TYPE_CHECKING:
    from millions.model import Lease, Unit
    from millions.runtime.crew import Crew
    from millions.runtime.processes import Identity
    from millions.runtime.state import StateFolder

POLL_S = 0.005
SUCCESSOR_WITHIN_S = 1.0
"""How long a successor is waited for before the dead one is started again: a start costs a second
of processor time, which the successor needs now."""

SUCCESSOR_LOOK_S = 0.1
SUCCESSOR_BEGINS_S = 1.0
"""From being chosen until writes and replicas have come to it."""


async def agent_ended(crew: Crew, name: str, spec: Unit, *, planned: bool) -> Identity | None:
    """What follows from the end of a unit's own process; answers its daemon where that goes on.

    It does unless the unit was stopped on purpose. When both are dead, all that is left is killed
    and the lease is given free.
    """
    if name in crew.fencing:
        await crew.fencing[name].wait()
        return None
    daemon = None if planned else pidfiles.living(crew.state, spec)
    if daemon is None and spec.lease is not None:
        await fence(crew, name, spec, why="" if planned else "it is dead")
    return daemon


async def daemon_ended(crew: Crew, name: str, daemon: Identity) -> None:
    """What follows from the end of a daemon: nothing, unless its unit holds the lease.

    And nothing when it ended cleanly (it removed its pid file) because its unit hands over. It may
    have ended a moment after its agent, which is being buried or started again by now. An agent
    that was told to stop and has stopped its daemon is not waited for: it has nothing left to do.
    """
    record = crew.ledger.get(name)
    spec = record.processes[0].spec if record.processes else record.good
    if spec is None:
        return
    cleanly = pidfiles.number(crew.state, spec) != daemon.pid
    if any(each.stop_step for each in record.processes):
        if cleanly and await _holds(crew, spec):
            await fence(crew, name, spec, why="")
        return
    if await _holds(crew, spec) and not (cleanly and await _hands_over(crew, spec)):
        await fence(crew, name, spec, why="its server ended while it led")


async def frozen(crew: Crew, name: str) -> None:
    """What follows from a silence: a unit that holds the lease is killed and followed."""
    spec = _running(crew, name)
    if spec is not None and await _holds(crew, spec):
        await fence(crew, name, spec, why="it led and did not answer any more")


async def rehearse(crew: Crew, name: str) -> None:
    """Ask once who leads, so that certificates are read and names known when it matters."""
    spec = _running(crew, name)
    if spec is not None:
        await _holds(crew, spec)


async def fence(crew: Crew, name: str, spec: Unit, *, why: str) -> None:
    """Kill everything of a unit, see it dead, and give its lease free."""
    if name in crew.fencing:
        await crew.fencing[name].wait()
        return
    crew.fencing[name] = asyncio.Event()
    journal = crew.journals.of(name, spec)
    try:
        if why:
            journal.note(f"killed with all that belongs to it: {why}", level="warning")
        if not await _end_all(crew, name, spec):
            journal.note("what belongs to it does not die; its lease stays", level="error")
            return
        if spec.lease is not None and await _free(crew, spec):
            journal.note("its leadership is free", level="warning")
            await _succeeded(crew, spec)
    finally:
        crew.fencing.pop(name).set()


async def _end_all(crew: Crew, name: str, spec: Unit) -> bool:
    """Kill every process of a unit; False when one outlives that (bounded)."""
    doomed: list[Identity] = []
    for process in crew.ledger.get(name).processes:
        if process.identity is not None:
            doomed += processes.kill_tree(process.identity)
    daemon = pidfiles.living(crew.state, spec)
    if daemon is not None:
        doomed += processes.kill_tree(daemon)
    for left in belonging.inside(crew.state, name):
        doomed += processes.kill_tree(left)
    deadline = time.monotonic() + processes.KILL_WAIT_S
    while any(processes.alive(each) for each in doomed):
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(POLL_S)
    if spec.daemon:  # a zombie that nobody reaps would look alive to the next one
        pidfiles.path(crew.state, spec).unlink(missing_ok=True)
    return True


async def _free(crew: Crew, spec: Unit) -> bool:
    """Give the lease free if it still names the unit; whether it did."""
    if spec.lease is None:
        return False
    service, lease = _service(crew.state, spec, spec.lease), spec.lease
    try:
        return await asyncio.to_thread(etcd.delete_if, service, lease.key, lease.holder)
    except ConsensusError as error:
        crew.journals.of(spec.name).note(f"its lease stays: {error.because}", level="warning")
        return False


async def _holds(crew: Crew, spec: Unit) -> bool:
    """Whether the unit holds its lease; False when nobody can say."""
    lease = spec.lease
    return lease is not None and await _value(crew, spec, lease, lease.key) == lease.holder


async def _hands_over(crew: Crew, spec: Unit) -> bool:
    lease = spec.lease
    return lease is not None and bool(await _value(crew, spec, lease, lease.handover))


async def _value(crew: Crew, spec: Unit, lease: Lease, key: str) -> str | None:
    """The value of a key; None when there is none or nobody can say."""
    service = _service(crew.state, spec, lease)
    try:
        return await asyncio.to_thread(etcd.get, service, key) if key else None
    except ConsensusError:
        return None


async def _succeeded(crew: Crew, spec: Unit) -> None:
    """Wait until another one leads (bounded), if there is another one."""
    if spec.lease is None or not any(
        each.processes and each.name != spec.name and each.processes[0].spec.group == spec.group
        for each in crew.ledger.records()
    ):
        return
    deadline = time.monotonic() + SUCCESSOR_WITHIN_S
    while time.monotonic() < deadline:
        await asyncio.sleep(SUCCESSOR_LOOK_S)
        if await _value(crew, spec, spec.lease, spec.lease.key):
            await asyncio.sleep(SUCCESSOR_BEGINS_S)
            return


def _running(crew: Crew, name: str) -> Unit | None:
    """What the unit runs, unless it is being stopped."""
    for process in crew.ledger.get(name).processes:
        if process.phase is not Phase.STOPPING:
            return process.spec
    return None


def _service(state: StateFolder, spec: Unit, lease: Lease) -> etcd.Service:
    places = placeholders.places(state, spec)
    return etcd.Service(
        servers=lease.servers,
        ca=placeholders.filled(lease.ca, places),
        certificate=placeholders.filled(lease.certificate, places),
        key_file=placeholders.filled(lease.key_file, places),
    )
