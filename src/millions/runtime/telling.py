"""Telling a running process of new files and servers: a reload, or its control socket.

The files are always written first, so that whatever starts or reads them anew finds what is wanted.
While a process is told, its record holds both specifications; when that is broken off, or fails,
nobody knows what it knows, and it is reloaded. Never starts or stops a process of a unit.
"""

from __future__ import annotations

import asyncio
import dataclasses
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from millions.errors import MillionsError, UnitFailedError
from millions.model import Phase, Reload, Share
from millions.runtime import burial, placeholders, processes, rendering
from millions.runtime.pools import DRAIN_S, Control
from millions.runtime.watch import when_ended

if TYPE_CHECKING:
    from millions.model import Pool, Server, Unit
    from millions.runtime.crew import Crew
    from millions.runtime.record import ProcessRecord
    from millions.runtime.state import StateFolder

RELOAD_S = 10.0
"""How long a reload may take until new servers answer: 0.1 s, on a loaded machine some seconds."""

POLL_S = 0.02


def begin(crew: Crew, action: Reload | Share) -> None:
    """Begin to tell a process; the planner hears of the end from its record."""
    process = crew.ledger.process(action.unit, action.number)
    if process is None or process.identity is None or process.phase is Phase.STOPPING:
        return
    crew.changing.add((action.unit, action.number))
    crew.ledger.change_process(action.unit, action.number, told=action.spec)
    if crew.shared.get(action.unit) != action.why:
        crew.journals.of(action.unit).note(
            f"{'reloads' if isinstance(action, Reload) else 'shares'}: {action.why}",
            start=action.number,
        )
    crew.spawn_task(_tell(crew, action))


def doubt(crew: Crew, name: str, process: ProcessRecord) -> None:
    """Record that nobody knows what a process was told: it needs a reload.

    It may share requests among the servers of both specifications until then.
    """
    told = process.told
    if told is None:
        return
    spec = process.spec
    if spec.pool is not None and told.pool is not None:
        names = {each.unit for each in spec.pool.servers}
        more = tuple(each for each in told.pool.servers if each.unit not in names)
        pool = dataclasses.replace(spec.pool, servers=(*spec.pool.servers, *more))
        spec = dataclasses.replace(spec, pool=pool)
    files = () if spec.reload else spec.files
    spec = dataclasses.replace(spec, files=files)
    crew.ledger.change_process(name, process.number, spec=spec, told=None)


async def _tell(crew: Crew, action: Reload | Share) -> None:
    name, number = action.unit, action.number
    draining: tuple[Server, ...] = ()
    problem = ""
    try:
        draining = await _told(crew, action)
    except (MillionsError, OSError) as error:
        problem = str(error)
    finally:
        crew.changing.discard((name, number))
    process = crew.ledger.process(name, number)
    if process is None or process.phase is Phase.STOPPING:
        return
    if problem:
        doubt(crew, name, process)
        journal = crew.journals.of(name, process.spec)
        journal.collect()
        words = "\n".join((problem, *journal.tail(number, burial.LAST_LINES)))
        burial.blame(crew, name, process.spec.revision, words=words, grave=True)
        return
    pool = action.spec.pool
    crew.shared.pop(name, None)
    if pool is not None and draining:
        crew.shared[name] = action.why
        leaving = (dataclasses.replace(each, draining=True) for each in draining)
        pool = dataclasses.replace(pool, servers=(*pool.servers, *leaving))
    spec = dataclasses.replace(process.spec, files=action.spec.files, pool=pool)
    crew.ledger.change_process(name, number, spec=spec, told=None)
    record = crew.ledger.get(name)
    if record.good is not None and record.good.revision == spec.revision:
        crew.ledger.change(name, good=spec)


async def _told(crew: Crew, action: Reload | Share) -> tuple[Server, ...]:
    """Tell the process; the servers that still finish what they have."""
    process = crew.ledger.process(action.unit, action.number)
    if process is None:
        return ()
    rendering.render(crew.state, action.spec)
    if isinstance(action, Share):
        draining = await _shared(crew, process, action.spec)
        if draining is not None:
            return draining
    crew.draining.pop(action.unit, None)
    await _reload(crew, process, action.spec)
    return ()


async def _shared(crew: Crew, process: ProcessRecord, spec: Unit) -> tuple[Server, ...] | None:
    """Change the pool while the process runs; None when that was refused and it can reload.

    Else the servers that leave and have not finished yet.
    """
    before, after = process.spec.pool, spec.pool
    if before is None or after is None:
        return None
    known = {each.unit for each in before.servers}
    if any(each.reloads and each.unit not in known for each in after.servers):
        return None
    since = crew.draining.setdefault(spec.name, {})
    try:
        control = control_of(crew.state, spec, after)
        return await control.share(before, _filled(crew, spec, after), since)
    except MillionsError as error:
        if not spec.reload:
            raise
        crew.journals.of(spec.name).note(
            f"reloads, because its servers could not be changed: {error}",
            level="warning",
            start=process.number,
        )
        return None


async def _reload(crew: Crew, process: ProcessRecord, spec: Unit) -> None:
    """Send the signal; with a pool, wait until a new worker answers and old servers are left."""
    if process.identity is None:
        return
    control = control_of(crew.state, spec, spec.pool) if spec.pool is not None else None
    former = await _worker(control) if control is not None else None
    number, deadline = signal.Signals[spec.reload], time.monotonic() + RELOAD_S
    await _catches(process.identity, number, deadline, spec.name)
    if not processes.send(process.identity, number):
        raise _gone_already(spec.name)
    if control is None:
        return
    while (await _worker(control) or former) == former:
        if time.monotonic() > deadline:
            raise UnitFailedError(
                cannot=f"reload {spec.name}",
                because=f"no new worker answered within {RELOAD_S:g} s; the former one goes on",
                try_=f"millions logs {spec.name}",
            )
        await asyncio.sleep(POLL_S)
    if former is not None and _left(process.spec.pool, spec.pool):
        await _gone(former)


async def _catches(
    identity: processes.Identity, number: signal.Signals, deadline: float, name: str
) -> None:
    """Wait until the process has a handler for the signal.

    HAProxy's master begins anew with each reload, and throws away one that comes before it is
    through, although its new worker answers already.
    """
    while not processes.catches(identity, number):
        if not processes.alive(identity):
            raise _gone_already(name)
        if time.monotonic() > deadline:
            raise UnitFailedError(
                cannot=f"reload {name}",
                because=f"its process has no handler for {number.name}",
                try_=f"millions logs {name}",
            )
        await asyncio.sleep(POLL_S)


def _gone_already(name: str) -> UnitFailedError:
    return UnitFailedError(
        cannot=f"reload {name}", because="its process is gone", try_="millions logs"
    )


async def _worker(control: Control) -> processes.Identity | None:
    """The process that answers at the control socket; None when none does."""
    try:
        return processes.identify(await control.worker())
    except MillionsError:
        return None


async def _gone(worker: processes.Identity) -> None:
    """Wait until a former worker has answered its last requests (bounded)."""
    ended = asyncio.Event()
    when_ended(worker, ended.set)
    with suppress(TimeoutError):
        await asyncio.wait_for(ended.wait(), DRAIN_S)


def _left(before: Pool | None, after: Pool | None) -> bool:
    """Whether a server is not in the pool any more."""
    old, new = (
        {each.unit for each in pool.servers} if pool is not None else set[str]()
        for pool in (before, after)
    )
    return not old <= new


def control_of(state: StateFolder, spec: Unit, pool: Pool) -> Control:
    """The control socket of a process of `spec`, and its pool there."""
    known = placeholders.places(state, spec)
    return Control(path=placeholders.filled(pool.socket, known), backend=pool.backend)


def _filled(crew: Crew, spec: Unit, pool: Pool) -> Pool:
    known = placeholders.places(crew.state, spec)
    return dataclasses.replace(pool, options=placeholders.filled(pool.options, known))
