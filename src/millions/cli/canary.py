"""A release on one server first: its errors and latency are compared with the others' for a while.

It asks each unit for its own figures, on its private address. What they mean is decided in
`reconcile/canary.py`; what follows from it is done by whoever asked.
"""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING

from millions import stack as stacks
from millions.cli import changing, figures
from millions.errors import ReleaseError
from millions.reconcile import canary as verdicts
from millions.runtime import status as statuses

if TYPE_CHECKING:
    from collections.abc import Iterable

    from millions.cli.opened import Opened
    from millions.cli.progress import Progress
    from millions.reconcile.canary import Sample
    from millions.runtime.desired import Desired
    from millions.runtime.state import StateFolder
    from millions.runtime.status import UnitStatus
    from millions.tiers.kind import Canary

LOOK_S = 0.5
"""Between two looks at the figures."""


def before_others(wanted: Desired, former: Desired | None, canary: Canary | None) -> bool:
    """Whether a release can be tried on one unit: the others stay, and there are some."""
    if canary is None or former is None:
        return False
    now, then = ({unit.name: unit for unit in each.units} for each in (wanted, former))
    chosen = now[canary.unit]
    others = {unit.release for unit in former.units if unit.group == chosen.group} - {""}
    return now.keys() == then.keys() and others != {chosen.release}


def tried(
    opened: Opened, wanted: Desired, former: Desired, canary: Canary, progress: Progress
) -> str:
    """Release to the canary alone and watch it (blocking); answer what was seen, in words.

    It gets its share among those that run now; where their number follows the load, more may join.
    Raise ReleaseError when it does worse than the others. Whoever asked lets `former` run again.
    """
    chosen = next(unit for unit in wanted.units if unit.name == canary.unit)
    units = tuple(chosen if unit.name == canary.unit else unit for unit in former.units)
    members = [unit.name for unit in units if unit.group == chosen.group]
    running = [each.name for each in _told(opened.state, members)]
    if running == [canary.unit]:
        return f"{canary.unit} runs alone: there is nothing to compare it with"
    percent = verdicts.percent_of_all(
        canary.percent, running=max(1, len(running)), servers=len(members)
    )
    told = dataclasses.replace(canary, percent=percent)
    mixed = dataclasses.replace(
        wanted, units=stacks.shared(opened.stack, units, told), certificates=former.certificates
    )
    others = tuple(name for name in members if name != canary.unit)
    changing.written(opened.state, mixed, progress)
    progress.say(f"watches {canary.unit} for {canary.for_s:g} s, with {canary.percent:g} % at most")
    return _watch(opened.state, canary, others)


def _watch(state: StateFolder, canary: Canary, others: tuple[str, ...]) -> str:
    """Compare until the time is over; answer the figures. Raise ReleaseError."""
    began_s, process = time.monotonic(), _only(state, canary.unit)
    theirs_at_first = figures.sample(_told(state, others))
    warm: tuple[Sample, Sample] | None = None
    while True:
        passed_s = time.monotonic() - began_s
        now = _only(state, canary.unit)
        if now.phase != "ready" or now.pid != process.pid:
            raise _worse(process, f"it did not stay ready: {now.why or now.phase}")
        mine, theirs = figures.sample([now]), figures.sample(_told(state, others))
        if verdicts.fails(mine, theirs.since(theirs_at_first)):
            said = _figures(canary.unit, mine, theirs.since(theirs_at_first))
            raise _worse(process, f"it answers with more errors: {said}")
        if warm is None and passed_s >= canary.for_s * verdicts.WARM_UP:
            warm = (mine, theirs)
        if passed_s >= canary.for_s:
            break
        time.sleep(LOOK_S)
    if warm is not None:
        mine, theirs = mine.since(warm[0]), theirs.since(warm[1])
    said = _figures(canary.unit, mine, theirs)
    if verdicts.is_slow(mine, theirs):
        raise _worse(process, f"it is slower: {said}")
    return said if verdicts.enough(mine) else f"too little traffic to judge it; {said}"


def _figures(unit: str, mine: Sample, theirs: Sample) -> str:
    return f"{unit}: {mine}; the others: {theirs}"


def _told(state: StateFolder, names: Iterable[str]) -> list[UnitStatus]:
    status = statuses.read(state.status)
    wanted = frozenset(names)
    return [unit for unit in status.units if unit.name in wanted] if status is not None else []


def _only(state: StateFolder, name: str) -> UnitStatus:
    found = _told(state, (name,))
    if not found:
        raise ReleaseError(
            cannot=f"watch {name}", because="nothing is told about it", try_="millions status"
        )
    return found[0]


def _worse(process: UnitStatus, because: str) -> ReleaseError:
    return ReleaseError(
        cannot=f"release {process.release} to more than {process.name}",
        because=because,
        try_=f"millions logs --unit {process.name} --level error; what ran before runs again",
    )
