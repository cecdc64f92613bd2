"""What users of the stack have answered while it climbs, as its web servers count it.

Nobody is asked but the web servers; what an edge answers itself is not in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from millions.cli import figures
from millions.cli.climbing.seen import Told
from millions.reconcile.canary import Sample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from millions.runtime.status import Status, UnitStatus

TIER = "web"


class Users:
    """Adds up what was counted since the first look, over processes that come and go."""

    def __init__(self, sample: Callable[[Iterable[UnitStatus]], Sample] = figures.sample) -> None:
        self._sample = sample
        self._before: dict[tuple[str, int], Sample] = {}
        self._at_s = 0.0
        self._all = Sample()

    def look(self, status: Status | None, now_s: float) -> Told:
        """Ask every web server (blocking, bounded); the rates are those since the last look."""
        first, passed_s = not self._at_s, now_s - self._at_s
        self._at_s = now_s
        new = Sample()
        for unit in status.units if status is not None else ():
            if unit.tier != TIER or unit.pid is None:
                continue
            found, process = self._sample([unit]), (unit.name, unit.pid)
            if not found.counts:
                continue  # it does not answer, or was never asked
            if not first:
                new += found.since(self._before.get(process, Sample()))
            self._before[process] = found
        self._all += new
        return Told(
            good=self._all.requests - self._all.errors,
            failed=self._all.errors,
            rate=new.requests / passed_s if not first and passed_s > 0 else 0.0,
            p50=new.latency_s(0.5),
            p99=new.latency_s(0.99),
            pause_s=None,
        )
