"""Daemons: processes that a unit's own one starts and that outlive it. Their ends are watched.

A daemon is known by its pid file, whoever started it and whoever is its parent now, so that a new
supervisor knows it at once. It decides nothing: an end, or a silence, is told to `deaths`.

Source: `notes/database.md` for why an end must be known at once; pidfd_open(2).
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from millions.model import Phase
from millions.runtime import deaths, pidfiles, processes
from millions.runtime.watch import when_ended

if TYPE_CHECKING:
    from millions.runtime.crew import Crew
    from millions.runtime.processes import Identity
    from millions.runtime.record import ProcessRecord

LOOK_S = 0.2
"""Between two looks at a pid file (one system call) and at who is frozen."""

FROZEN_LOOKS = 4
"""Looks in a row at which a process was stopped. One that is killed is stopped for a moment too."""

SILENT_ANSWERS = 3
"""Questions in a row that a unit has not answered at all."""

TELL_AGAIN_S = 2.0
"""Between two times that a unit is told about that stands still and holds nothing."""


class Daemons:
    """Watches the daemon of each unit that can hold a lease."""

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def keep(self) -> None:
        """Watch exactly the units that run and have a daemon and a lease."""
        running = {
            record.name
            for record in self._crew.ledger.records()
            if any(each.spec.daemon and each.spec.lease for each in record.processes)
        }
        for name in self._tasks.keys() - running:
            self._tasks.pop(name).cancel()
        for name in running - self._tasks.keys():
            self._tasks[name] = asyncio.create_task(self._follow(name))

    def close(self) -> None:
        """Stop to watch; daemons go on."""
        for task in self._tasks.values():
            task.cancel()

    async def _follow(self, name: str) -> None:
        """Learn of each daemon that the unit's process starts, and of its end."""
        known: Identity | None = None
        read: tuple[int, int] = (0, 0)
        stopped, told_until = 0, 0.0
        while True:
            process = _main(self._crew, name)
            if process is not None:
                place = pidfiles.path(self._crew.state, process.spec)
                written = pidfiles.written(place)
                if written != read:
                    read, found = written, pidfiles.living(self._crew.state, process.spec)
                    if found is not None and found != known:
                        known = found
                        self._crew.spawn_task(deaths.rehearse(self._crew, name))
                        when_ended(found, partial(self._ended, name, found))
                stopped = stopped + 1 if _is_stopped(process, known) else 0
                silent = self._crew.watch.silent(name, process.number)
                now = asyncio.get_running_loop().time()
                is_still = stopped >= FROZEN_LOOKS or silent >= SILENT_ANSWERS
                if is_still and now >= told_until:
                    told_until = now + TELL_AGAIN_S
                    self._crew.spawn_task(deaths.frozen(self._crew, name))
            await asyncio.sleep(LOOK_S)

    def _ended(self, name: str, daemon: Identity) -> None:
        self._crew.spawn_task(deaths.daemon_ended(self._crew, name, daemon))


def _main(crew: Crew, name: str) -> ProcessRecord | None:
    """The unit's process that is not being stopped."""
    processes_ = crew.ledger.get(name).processes
    return next((each for each in processes_ if each.phase is not Phase.STOPPING), None)


def _is_stopped(process: ProcessRecord, daemon: Identity | None) -> bool:
    """Whether the unit's process or its daemon is stopped (SIGSTOP), so that it answers nobody."""
    found = [each for each in (process.identity, daemon) if each is not None]
    entries = [(each, processes.entry(each.pid)) for each in found]
    return any(
        entry is not None and entry.started == each.started and entry.state == "T"
        for each, entry in entries
    )
