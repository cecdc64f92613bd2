"""Observing: what the planner is told about this machine, from the ledger and the disk.

Loses nothing and chooses nothing; phases were recorded by the watches.
"""

from __future__ import annotations

import time
from types import MappingProxyType
from typing import TYPE_CHECKING

from millions.model import Observed, Process, Seen
from millions.runtime.preparing import marker

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Set as AbstractSet

    from millions.model import Unit
    from millions.runtime.ledger import Ledger
    from millions.runtime.record import UnitRecord
    from millions.runtime.state import StateFolder

NOBODY: Mapping[tuple[str, int], int] = MappingProxyType({})


def observe(
    state: StateFolder,
    ledger: Ledger,
    wanted: tuple[Unit, ...],
    changing: AbstractSet[tuple[str, int]] = frozenset(),
    silent: Mapping[tuple[str, int], int] = NOBODY,
) -> Observed:
    """What runs now (a few system calls a unit).

    `changing` names processes that are being told, `silent` those that have answered nothing, and
    how often in a row.
    """
    specs = {unit.name: unit for unit in wanted}
    names = sorted({record.name for record in ledger.records()} | specs.keys())
    return Observed(
        now_s=time.time(),
        units=tuple(
            _seen(state, ledger.get(name), specs.get(name), changing=changing, silent=silent)
            for name in names
        ),
    )


def _seen(
    state: StateFolder,
    record: UnitRecord,
    wanted: Unit | None,
    *,
    changing: AbstractSet[tuple[str, int]],
    silent: Mapping[tuple[str, int], int],
) -> Seen:
    folder = state.unit(record.name)
    specs = [spec for spec in (wanted, record.good) if spec is not None]
    keys = {preparation.key for spec in specs for preparation in spec.prepare}
    return Seen(
        name=record.name,
        processes=tuple(
            Process(
                number=each.number,
                spec=each.spec,
                phase=each.phase,
                since_s=each.since_s,
                changed_s=each.changed_s,
                changing=(record.name, each.number) in changing,
                silent=silent.get((record.name, each.number), 0),
            )
            for each in record.processes
        ),
        prepared=frozenset(key for key in keys if marker(folder, key).exists()),
        has_data=(folder / "data").is_dir(),
        good=record.good,
        troubles=record.troubles,
        busy=record.preparing is not None,
    )
