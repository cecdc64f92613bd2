"""Watching what runs: the end of each process by pidfd, its readiness by probes.

It records phases and calls back; what follows from them is not decided here.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING

from millions.model import Address, Phase, Probe, Unit
from millions.reconcile import readiness
from millions.reconcile.readiness import Readiness
from millions.runtime import probes, processes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from millions.runtime.ledger import Ledger
    from millions.runtime.processes import Identity
    from millions.runtime.record import ProcessRecord

WITHOUT_PROBE_S = 0.5
"""A process without a probe is ready when it has lived so long."""

EAGER_S = 0.05
"""Between two questions to a process that starts, for its first two seconds: `up` is quick."""

EAGER_FOR_S = 2.0

PATIENT_S = 0.25
"""Between two questions to a process that takes longer to start, or has stopped to answer."""

_Key = tuple[str, int]


class Watch:
    """Watches processes by (unit, number). `forks` says of one that its daemon runs beside it."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        ended: Callable[[str, int], None],
        changed: Callable[[], None],
        forks: Callable[[Unit, Identity], bool],
    ) -> None:
        self._ledger = ledger
        self._forks = forks
        self._ended = ended
        self._changed = changed
        self._probes: dict[_Key, asyncio.Task[None]] = {}
        self._ends: dict[_Key, asyncio.Event] = {}
        self._said: dict[_Key, str] = {}
        self._silent: dict[_Key, int] = {}

    def begin(self, name: str, number: int, identity: Identity) -> None:
        """Watch a process; `ended` is called once, soon, also when it is over already.

        Another process may be the one of this start by then.
        """
        key = (name, number)
        ended = asyncio.Event()
        self._ends[key] = ended

        def end() -> None:
            ended.set()
            self._ended(name, number)

        when_ended(identity, end)
        former = self._probes.get(key)
        if former is not None:
            former.cancel()
        self._probes[key] = asyncio.create_task(self._probe(name, number))

    def forget(self, name: str, number: int) -> None:
        """Stop to watch a process."""
        key = (name, number)
        self._ends.pop(key, None)
        self._said.pop(key, None)
        self._silent.pop(key, None)
        task = self._probes.pop(key, None)
        if task is not None:
            task.cancel()

    async def end(self, name: str, number: int, *, within_s: float) -> bool:
        """Wait for the end of a process; False when it lives on."""
        event = self._ends.get((name, number))
        if event is None:
            return True
        try:
            await asyncio.wait_for(event.wait(), within_s)
        except TimeoutError:
            return False
        return True

    def said(self, name: str, number: int) -> str:
        """What was wrong with the last answer of a process; empty when nothing was."""
        return self._said.get((name, number), "")

    def silent(self, name: str, number: int) -> int:
        """How many questions in a row a process has not answered at all."""
        return self._silent.get((name, number), 0)

    @property
    def silences(self) -> Mapping[tuple[str, int], int]:
        """How many questions in a row each process has not answered at all."""
        return self._silent

    def close(self) -> None:
        """Stop to watch everything."""
        for key in tuple(self._probes):
            self.forget(*key)

    async def _probe(self, name: str, number: int) -> None:
        record = self._ledger.process(name, number)
        state = Readiness(phase=record.phase if record is not None else Phase.STARTING)
        while True:
            record = self._ledger.process(name, number)
            if record is None or record.phase is Phase.STOPPING:
                return
            probe = record.spec.probe
            if probe is None:
                await asyncio.sleep(max(0.0, record.since_s + WITHOUT_PROBE_S - time.time()))
                self._enter(name, number, Phase.READY)
                return
            if record.phase is Phase.STARTING and self._is_beside_another(record):
                await asyncio.sleep(EAGER_S)  # which answers at its address
                continue
            said = await probes.ask(probe, _asked(record, probe))
            self._said[name, number] = said
            silent = self._silent.get((name, number), 0) + 1
            self._silent[name, number] = silent if isinstance(said, probes.Silence) else 0
            state = readiness.after(state, probe, good=not said)
            self._enter(name, number, state.phase)
            await asyncio.sleep(_pause_s(record, probe, state))

    def _is_beside_another(self, record: ProcessRecord) -> bool:
        """Whether the unit's daemon runs already, and the process that was started is not it."""
        return record.identity is not None and self._forks(record.spec, record.identity)

    def _enter(self, name: str, number: int, phase: Phase) -> None:
        """Record the phase of a process if it is another one than before."""
        record = self._ledger.process(name, number)
        if record is None or record.phase in (phase, Phase.STOPPING):
            return
        now_s = time.time()
        first = record.phase is Phase.STARTING and phase is Phase.READY
        self._ledger.change_process(
            name,
            number,
            phase=phase,
            changed_s=now_s,
            ready_at_s=now_s if phase is Phase.READY else record.ready_at_s,
        )
        if first:
            self._ledger.change(name, good=record.spec)
        self._changed()


def when_ended(identity: Identity, call: Callable[[], None]) -> None:
    """Call once when the process has ended, at the next turn when it is over already."""
    loop = asyncio.get_running_loop()
    descriptor = processes.open_pidfd(identity)
    if descriptor is None:
        loop.call_soon(call)
        return

    def readable(descriptor: int = descriptor) -> None:
        loop.remove_reader(descriptor)
        os.close(descriptor)
        call()

    loop.add_reader(descriptor, readable)


def _asked(record: ProcessRecord, probe: Probe) -> Address:
    """Where the probe goes: to the private address that this very process was given."""
    if record.address is not None and probe.address == record.spec.address:
        return record.address
    return probe.address


def _pause_s(record: ProcessRecord, probe: Probe, state: Readiness) -> float:
    if state.phase is Phase.READY:
        return probe.interval_s
    age_s = time.time() - record.since_s
    eager = state.phase is Phase.STARTING and age_s < EAGER_FOR_S
    return min(probe.interval_s, EAGER_S if eager else PATIENT_S)
