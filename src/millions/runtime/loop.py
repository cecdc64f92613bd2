"""The supervisor's loop: read what is wanted, observe, plan, execute, report; then wait.

It wakes on a signal, on the end of a process, on a change of readiness, and on a tick. Never in the
path of a request; whatever it meets, it leaves running what runs.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import time
import traceback
from functools import partial
from typing import TYPE_CHECKING

from millions.errors import MillionsError
from millions.model import Phase
from millions.reconcile.backoff import STEADY_S
from millions.reconcile.plan import verdicts
from millions.runtime import adopt, burial, desired, diary, execute, pidfiles, publish, status
from millions.runtime.crew import Crew
from millions.runtime.daemons import Daemons
from millions.runtime.desired import Desired
from millions.runtime.journals import Journals
from millions.runtime.ledger import Ledger
from millions.runtime.listeners import Listeners
from millions.runtime.observe import observe
from millions.runtime.reaper import Reaper
from millions.runtime.report import report
from millions.runtime.scaler import Scaler
from millions.runtime.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable

    from millions.model import Goal
    from millions.reconcile.plan import Verdict
    from millions.runtime.state import StateFolder
    from millions.runtime.status import Status

TICK_SETTLED_S = 1.0
"""Between two rounds when nothing changes: only logs are copied and the document looked at."""

TICK_BUSY_S = 0.1
"""Between two rounds while something changes: bounds of time are kept as exactly as this."""

ROUND_MIN_S = 0.005
"""Rounds are at least so far apart, whatever wakes us."""

HEARTBEAT_S = 5.0
"""The status is written at least so often, so that its age says whether a supervisor works."""


class Loop:
    """One supervisor at work on one stack."""

    def __init__(self, state: StateFolder) -> None:
        self._state = state
        self._wakened = asyncio.Event()
        self._stopping = False
        self._desired = Desired(generation=0)
        self._document: tuple[int, int] = (0, 0)
        self._problem = ""
        self._epoch = 0
        self._reported: Status | None = None
        self._crew = Crew(
            state=state,
            ledger=Ledger(state),
            journals=Journals(state),
            listeners=Listeners(state),
            reaper=Reaper(),
            wake=self._wakened.set,
        )
        self._daemons = Daemons(self._crew)
        self._scaler = Scaler(self._crew)
        self._crew.watch = Watch(
            self._crew.ledger,
            ended=self._ended,
            changed=self._wakened.set,
            forks=partial(pidfiles.forks, state),
        )

    async def run(self, ready: Callable[[], None]) -> None:
        """Work until told to stop; call `ready` once everything that runs is adopted.

        Raise StateError before that for state that cannot be read: nothing was touched then.
        """
        crew = self._crew
        self._state.prepare()
        crew.ledger.load()
        self._read_desired(at_start=True)
        crew.generation = self._desired.generation
        living = adopt.adopt(crew)
        diary.tell(self._state, f"supervisor {os.getpid()} begins; {living} processes adopted")
        self._listen_to_signals()
        ready()
        execute.finish_erasing(crew)
        beside = [asyncio.create_task(self._copy_logs()), asyncio.create_task(self._scale())]
        while not self._stopping:
            self._wakened.clear()
            settled = self._safe_round()
            await self._pause(TICK_SETTLED_S if settled else TICK_BUSY_S)
        for task in beside:
            task.cancel()
        crew.journals.finish_all()
        crew.watch.close()
        self._daemons.close()
        diary.tell(self._state, f"supervisor {os.getpid()} leaves; units go on")
        for task in tuple(crew.tasks):
            task.cancel()

    def _ended(self, name: str, number: int) -> None:
        burial.begin(self._crew, name, number)
        self._wakened.set()

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, self._wakened.set)
        loop.add_signal_handler(signal.SIGCHLD, self._crew.reaper.reap)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)

    def _stop(self) -> None:
        self._stopping = True
        self._wakened.set()

    async def _pause(self, at_most_s: float) -> None:
        await asyncio.sleep(ROUND_MIN_S)
        try:
            await asyncio.wait_for(self._wakened.wait(), at_most_s)
        except TimeoutError:
            return

    def _safe_round(self) -> bool:
        """One round; what goes wrong in it is told, and what runs goes on."""
        try:
            return self._round()
        except Exception as error:  # noqa: BLE001  # our own mistake must not end the supervisor
            self._problem = f"a round failed: {type(error).__name__}: {error}"
            traceback.print_exc()
            return True

    def _round(self) -> bool:
        """Observe, plan, execute, report; True when nothing is under way."""
        crew = self._crew
        self._read_desired()
        self._follow_specifications()
        self._heal()
        goal = self._goal()
        observed = observe(self._state, crew.ledger, goal.units, crew.changing, crew.watch.silences)
        decided = verdicts(goal, observed)
        if any(each.action is not None for each in decided):
            crew.journals.collect()  # what led to an action stands in the logs before what follows
        for each in decided:
            if each.action is not None:
                diary.tell(self._state, str(each.action))
                execute.execute(crew, each.action)
        crew.listeners.keep(self._used_sockets(goal))
        self._daemons.keep()
        crew.ledger.flush()
        self._report(goal, decided)
        return all(each.settled for each in decided) and not crew.tasks

    def _goal(self) -> Goal:
        """What should run now."""
        return self._desired.goal(self._scaler.counts)

    def _read_desired(self, *, at_start: bool = False) -> None:
        """Take in the desired document if it is another one. A bad one changes nothing."""
        try:
            found = self._state.desired.stat()
        except FileNotFoundError:
            return
        document = (found.st_mtime_ns, found.st_ino)
        if document == self._document:
            return
        try:
            wanted = desired.read(self._state.desired)
            if wanted is not None:
                publish.make_secrets(self._state, wanted.secrets)
                publish.make_certificates(self._state, wanted.certificates)
                if wanted.directory is not None:
                    self._epoch = publish.write_directory(self._state, wanted.directory)
                self._desired = wanted
                self._scaler.follow(wanted)
        except (MillionsError, OSError) as error:
            if at_start:
                raise
            self._problem = str(error)
            return
        self._document = document
        self._problem = ""
        self._crew.generation = self._desired.generation
        self._forget_troubles()

    def _forget_troubles(self) -> None:
        """A new generation is a new try for everything that failed."""
        ledger = self._crew.ledger
        for record in ledger.records():
            if record.generation != self._desired.generation:
                ledger.change(record.name, generation=self._desired.generation, troubles=())

    def _follow_specifications(self) -> None:
        """Give running processes what changed in their specification without a new revision.

        But not files and pools: a process knows of them only once it was told.
        """
        ledger = self._crew.ledger
        for unit in self._desired.units:
            record = ledger.get(unit.name)
            for process in record.processes:
                known = process.spec
                if known.revision == unit.revision:
                    spec = dataclasses.replace(unit, files=known.files, pool=known.pool)
                    ledger.change_process(unit.name, process.number, spec=spec)
            good = record.good
            if good is not None and good.revision == unit.revision:
                spec = dataclasses.replace(unit, files=good.files, pool=good.pool)
                ledger.change(unit.name, good=spec)

    def _heal(self) -> None:
        """Forget the trouble of a revision that has been ready for long enough."""
        ledger, now_s = self._crew.ledger, time.time()
        for record in ledger.records():
            well = {
                each.spec.revision
                for each in record.processes
                if each.phase is Phase.READY and now_s - each.ready_at_s > STEADY_S
            }
            left = tuple(
                each
                for each in record.troubles
                if each.revision not in well or now_s - each.at_s < STEADY_S
            )
            if left != record.troubles:
                ledger.change(record.name, troubles=left)

    def _used_sockets(self, goal: Goal) -> frozenset[tuple[str, str]]:
        running = [
            process.spec for record in self._crew.ledger.records() for process in record.processes
        ]
        return frozenset(
            (unit.name, str(address)) for unit in (*goal.units, *running) for address in unit.public
        )

    def _report(self, goal: Goal, decided: tuple[Verdict, ...]) -> None:
        """Write the status when it says something new, and now and then to show that we live."""
        crew = self._crew
        observed = observe(self._state, crew.ledger, goal.units, crew.changing, crew.watch.silences)
        told = report(
            crew,
            goal.units,
            observed,
            verdicts=decided,
            pid=os.getpid(),
            epoch=self._epoch,
            problem=self._problem
            or self._scaler.problem
            or crew.ledger.problem
            or crew.journals.problem(),
            scaling=self._scaler.told(),
        )
        former = self._reported
        recent = former is not None and told.at_s - former.at_s < HEARTBEAT_S
        if former and recent and dataclasses.replace(told, at_s=former.at_s) == former:
            return
        try:
            status.write(self._state.status, told)
            self._reported = told
        except OSError as error:
            self._problem = f"cannot write {self._state.status}: {error.strerror or error}"

    async def _scale(self) -> None:
        """Let the number of units follow the work; a mistake of ours is told and tried again."""
        while True:
            try:
                await self._scaler.run()
            except Exception as error:  # noqa: BLE001  # as in a round
                self._problem = f"scaling failed: {type(error).__name__}: {error}"
                traceback.print_exc()
                await asyncio.sleep(TICK_SETTLED_S)

    async def _copy_logs(self) -> None:
        """Copy logs for as long as we run: often while there is something, else once a second."""
        crew = self._crew
        while True:
            more = False
            try:
                more = crew.journals.collect()
                crew.journals.finish_ended(self._writing())
            except Exception as error:  # noqa: BLE001  # as in a round
                self._problem = f"copying logs failed: {type(error).__name__}: {error}"
                traceback.print_exc()
                await asyncio.sleep(TICK_SETTLED_S)
            settled = self._reported is not None and self._reported.settled
            pause_s = 0.0 if more else TICK_SETTLED_S if settled else TICK_BUSY_S
            await asyncio.sleep(pause_s)

    def _writing(self) -> dict[str, frozenset[int]]:
        """The starts that may still write: processes, their daemons, preparations; by unit."""
        return {
            record.name: frozenset(
                [each.number for each in record.processes]
                + ([record.preparing.number] if record.preparing is not None else [])
                + ([pidfiles.output(self._state, record.good)] if record.good is not None else [])
            )
            for record in self._crew.ledger.records()
        }
