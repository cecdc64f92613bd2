"""Load beside a climb: clients from before the first step until after the last, and a report.

It changes nothing of the stack. The clients are a process of their own, which ends with ours.
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from millions.cli.climbing import view as views
from millions.cli.climbing.clients import Clients
from millions.cli.climbing.seen import Seen
from millions.cli.climbing.versions import machine, versions
from millions.cli.climbing.watching import Watch
from millions.drill.climbs import folder as folders
from millions.drill.climbs import samples
from millions.drill.climbs.ascent import Ascent, Drive
from millions.runtime import state as states

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from millions.cli.climbing.seen import Load
    from millions.cli.climbing.view import View
    from millions.model import Address
    from millions.runtime.state import StateFolder

REPORTS = "climb-reports"
AFTERWARDS_S = 3.0
"""The load goes on so long after the last step, to compare with."""


@dataclass(slots=True, kw_only=True)
class Driven:
    """A climb with load beside it. `ascent` is what came of it, once all is over."""

    folder: Path
    seen: Seen
    watch: Watch
    ascent: Ascent | None = None

    @property
    def page(self) -> Path:
        """The report."""
        return self.folder / folders.PAGE

    def say(self, text: str) -> None:
        """Say what is done now."""
        self.seen.doing = text

    def stay(self, seconds: float) -> None:
        """Let the load go on (blocking)."""
        self.watch.wait(seconds)


@contextmanager
def driven(
    state: StateFolder,
    address: Address,
    load: Load,
    *,
    rung: int,
    name: str = "",
    folder: Path | None = None,
    view: View | None = None,
) -> Generator[Driven]:
    """Drive `load` while the block runs, judge what came of it and write the report (blocking).

    `rung` is the one that the stack stands on, `name` what the report calls it, `folder` where
    everything is recorded, `view` who shows it. What breaks the block off ends the clients as well;
    the report then says how far it came, but for a Ctrl-C, after which there is none.
    """
    now = time.strftime("%Y%m%d-%H%M%S")
    place = folder or states.state_root() / REPORTS / f"{state.identity.name}-{now}"
    place.mkdir(parents=True, exist_ok=True)
    seen = Seen(name=name or state.identity.name, rung=rung, began_at_s=time.time())
    watch = Watch(state, seen, view or views.chosen())
    clients = Clients(address, place / folders.HISTORY, load, seen)
    found = Driven(folder=place, seen=seen, watch=watch)
    try:
        watch.start()
        clients.wait_begun()
        found.say("")
        try:
            yield found
            found.stay(AFTERWARDS_S)
        except Exception:
            _judge(found, clients, load, rung)
            raise
        _judge(found, clients, load, rung)
    finally:
        watch.stop()
        clients.kill()


def _judge(found: Driven, clients: Clients, load: Load, rung: int) -> None:
    """End the clients, write down what is known, and let it be judged (blocking)."""
    found.say("takes the last look")
    clients.end()
    found.say("judges every answer")
    began_at_s, load_from, load_until = clients.times
    found.watch.stop()
    found.watch.written(found.folder, began_at_s)
    tiers = samples.names(samples.read(found.folder / folders.SAMPLES))
    drive = Drive(
        name=found.seen.name,
        workload=load.workload,
        began_at_s=began_at_s,
        load_from=load_from,
        load_until=load_until,
        rung=rung,
        clients=load.clients,
        rate_per_s=load.rate_per_s,
        cores=os.cpu_count() or 1,
        machine=machine(),
        engines=versions(tiers),
    )
    folders.write_drive(found.folder, drive)
    found.ascent = folders.judge(found.folder)
