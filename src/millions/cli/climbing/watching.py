"""Watches a climb from a thread of its own: samples what the tiers use, and shows what is seen."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from millions.climb import record
from millions.drill.climbs import folder as folders
from millions.drill.climbs.samples import Sample, Use
from millions.errors import MillionsError, StateError
from millions.runtime import status as statuses
from millions.runtime.usage import Meter

if TYPE_CHECKING:
    from pathlib import Path

    from millions.cli.climbing.seen import Seen
    from millions.cli.climbing.users import Users
    from millions.cli.climbing.view import View
    from millions.runtime.state import StateFolder
    from millions.runtime.usage import Usage

LOOK_EVERY_S = 0.25
SAMPLE_EVERY_S = 1.0
MEMORY_EVERY = 3
"""Every so many samples memory is read anew: that takes longer than all the rest."""

MIB = 1 << 20


class Watch:
    """Goes on from `start` to `stop`. Samples are unix-timed until `written` puts them down.

    Where there are `users`, they are asked instead: nobody makes a report.
    """

    def __init__(
        self, state: StateFolder, seen: Seen, view: View, users: Users | None = None
    ) -> None:
        self._state, self._seen, self._view, self._users = state, seen, view, users
        self._meter = Meter(state)
        self._samples: list[tuple[float, tuple[Usage, ...]]] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._go_on, name="climb watch", daemon=True)
        self._since_s = time.time()

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def stop(self) -> None:
        """Show the last picture and end (blocking, bounded by one look)."""
        if self._over.is_set():
            return
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join()
            self._look()
        self._view.close()

    def wait(self, seconds: float) -> None:
        """Let it go on for a while (blocking)."""
        self._over.wait(seconds)

    def written(self, folder: Path, origin: float) -> None:
        """Write samples and events into the folder of the climb (blocking)."""
        with (folder / folders.SAMPLES).open("wb") as file:
            file.writelines(_sample(at_s - origin, usages).line() for at_s, usages in self._samples)
        with (folder / folders.EVENTS).open("w", encoding="utf-8") as text:
            text.writelines(f"{each.text()}\n" for each in self._seen.events)

    def _go_on(self) -> None:
        next_sample_s = 0.0
        while not self._over.wait(LOOK_EVERY_S):
            if time.monotonic() >= next_sample_s:
                next_sample_s = time.monotonic() + SAMPLE_EVERY_S
                self._sample()
            self._look()

    def _sample(self) -> None:
        if self._users is not None:
            self._seen.hear(self._users.look(self._seen.status, time.time()))
            return
        memory = len(self._samples) % MEMORY_EVERY == 0
        with suppress(OSError):
            usages = self._meter.read(self._seen.status, memory=memory)
            self._samples.append((time.time(), usages))

    def _look(self) -> None:
        self._seen.now_s = time.time()
        with suppress(StateError):  # a supervisor that is about to write it anew
            self._seen.status = statuses.read(self._state.status)
        with suppress(MillionsError, OSError, ValueError):
            path = self._state.path / record.FILE
            known = set(self._seen.events)  # the file begins anew with each climb
            self._seen.events += [
                each
                for each in folders.read_events(path)
                if each.at_s >= self._since_s and each not in known
            ]
        self._view.show(self._seen)


def _sample(at: float, usages: tuple[Usage, ...]) -> Sample:
    tiers = {
        each.tier: Use(units=each.units, cpu_s=each.cpu_s, memory_mib=each.memory_bytes / MIB)
        for each in usages
    }
    return Sample(at=at, tiers=tiers)
