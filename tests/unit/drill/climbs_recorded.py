"""A climb as it might have been recorded: ten answers a second, a pause in its only step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from histories import add, lines, members

from millions.climb.record import Event
from millions.drill.climbs.ascent import Ascent, Drive, ascent
from millions.drill.climbs.samples import Sample, Use
from millions.drill.history import parse

if TYPE_CHECKING:
    from collections.abc import Sequence

BEGAN_AT_S = 1_000_000.0
HEADER = {"history": 1, "promises": ["G1", "G2"], "may_fail": "none", "drill": "climb"}
PAUSE = (11.0, 11.4)
"""No answer ends between these."""


def drive(**more: Any) -> Drive:
    fields: dict[str, Any] = {
        "name": "photos",
        "workload": "photos",
        "began_at_s": BEGAN_AT_S,
        "load_from": 0.0,
        "load_until": 30.0,
        "rung": 1,
        "clients": 4,
        "rate_per_s": 10.0,
        "cores": 2,
        "engines": {"postgresql": "18.6"},
    }
    return Drive(**(fields | more))


def event(at: float, kind: Any, state: Any, name: str, rungs: tuple[int, int]) -> Event:
    return Event(
        at_s=BEGAN_AT_S + at,
        kind=kind,
        name=name,
        state=state,
        rung_from=rungs[0],
        rung_to=rungs[1],
        why="<because>",
    )


EVENTS = (
    event(9.9, "step", "planned", "database", (1, 2)),
    event(9.9, "step", "planned", "balancer", (2, 3)),
    event(10.0, "climb", "began", "1 to 3", (1, 3)),
    event(10.0, "step", "began", "database", (1, 2)),
    event(12.0, "phase", "ended", "copied", (1, 2)),
    event(14.0, "step", "ended", "database", (1, 2)),
    event(14.1, "step", "began", "balancer", (2, 3)),
    event(20.0, "step", "ended", "balancer", (2, 3)),
    event(20.0, "climb", "ended", "1 to 3", (1, 3)),
)


def answers() -> list[dict[str, Any]]:
    """One answer each tenth of a second, each within 20 ms, but for the pause."""
    ends = [n / 10 for n in range(1, 300) if not PAUSE[0] < n / 10 < PAUSE[1]]
    found = [add(n, done - 0.02, done) for n, done in enumerate(ends)]
    found.append(members(list(range(len(ends))), 30.0, 30.1))
    return found


def samples() -> tuple[Sample, ...]:
    """The web tier keeps a tenth of a core busy; the balancer comes at 15 s, with a fifth of it."""
    found: list[Sample] = []
    for at in range(31):
        tiers = {"web": Use(units=1, cpu_s=at / 10, memory_mib=100.0)}
        if at >= 15:
            tiers["balancer"] = Use(units=1, cpu_s=(at - 15) / 50, memory_mib=10.0)
        found.append(Sample(at=float(at), tiers=tiers))
    return tuple(found)


def climbed(*more: dict[str, Any], events: Sequence[Event] = EVENTS, **fields: Any) -> Ascent:
    records = parse(lines([HEADER, *answers(), *more]))
    return ascent(drive(**fields), records, events, samples())
