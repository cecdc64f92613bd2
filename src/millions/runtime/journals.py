"""The logs of all units: one collector a unit, copied in turn.

Never reads a log back except for the last lines of a process that failed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from millions.runtime.collect import Collector

if TYPE_CHECKING:
    from millions.model import Unit
    from millions.runtime.state import StateFolder

MIB = 1024 * 1024

LIMIT_MIB = 64
"""Bound of a unit's log where its specification is not known any more."""


CHUNKS_MAX = 200
"""Chunks that are copied at the end: 50 MiB; what is left stays for the next supervisor."""


class Journals:
    """Collectors by unit, made when first asked for."""

    def __init__(self, state: StateFolder) -> None:
        self._state = state
        self._collectors: dict[str, Collector] = {}

    def of(self, name: str, spec: Unit | None = None) -> Collector:
        """The collector of a unit, whose folder must exist."""
        collector = self._collectors.get(name)
        if collector is None:
            limit_mib = spec.limits.log_mib if spec is not None else LIMIT_MIB
            folder = self._state.unit(name) / "log"
            collector = Collector(folder, name, limit_bytes=limit_mib * MIB)
            self._collectors[name] = collector
        elif spec is not None:
            collector.limit_bytes = spec.limits.log_mib * MIB
        return collector

    def collect(self) -> bool:
        """Copy at most a chunk of each process's output; True when there is more."""
        more = [each.collect() for each in self._collectors.values()]
        return any(more)

    def finish_ended(self, living: dict[str, frozenset[int]]) -> None:
        """Copy what processes that have ended left behind. `living` are numbers by unit."""
        for name, collector in self._collectors.items():
            for number in collector.numbers() - living.get(name, frozenset()):
                collector.finish(number)

    def problem(self) -> str:
        """What keeps a log from being written; empty when nothing does."""
        return next((each.problem for each in self._collectors.values() if each.problem), "")

    def finish_all(self) -> None:
        """Copy what there is now, before somebody else goes on copying (bounded)."""
        for _chunk in range(CHUNKS_MAX):
            if not self.collect():
                return

    def close(self, name: str) -> None:
        """Close the log of a unit whose folder is about to go."""
        collector = self._collectors.pop(name, None)
        if collector is not None:
            collector.close()
