"""Where a climb was when: its steps and the stays between them, read from the climb's events. Pure.

Times are seconds of the history's clock, which began at `origin` (unix seconds).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from millions.climb.record import Event

STAY_AT_LEAST_S = 1.0
"""Between two steps of one climb pass milliseconds: nothing can be said of them."""

OVER = frozenset({"ended", "failed", "undone"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a climb. `state` is that of its end: ended, failed, undone; or began."""

    name: str
    began: float
    ended: float
    rung_from: int
    rung_to: int
    state: str
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stay:
    """A time on one rung in which nothing was changed."""

    rung: int
    began: float
    ended: float


def steps(events: Iterable[Event], *, origin: float, until: float) -> tuple[Step, ...]:
    """Answer the steps in the order of their begin; one that never ended lasts `until`."""
    found: list[Step] = []
    open_: dict[str, Event] = {}
    for each in events:
        if each.kind != "step":
            continue
        if each.state == "began":
            open_.setdefault(each.name, each)  # again after a crash: it is still the same step
        elif each.state in OVER and each.name in open_:
            begun = open_.pop(each.name)
            found.append(_step(begun, each.at_s - origin, each.state, origin))
    found += [_step(each, until, "began", origin) for each in open_.values()]
    return tuple(sorted(found, key=lambda each: each.began))


def levels(
    events: Sequence[Event], *, origin: float, rung: int = 0
) -> tuple[tuple[float, int], ...]:
    """Answer from when on the stack stood on which rung; `rung` is the first, where it is known."""
    first = rung or next((each.rung_from for each in events), 1)
    found = [(0.0, first)]
    for each in events:
        now = reached(each)
        if now and now != found[-1][1]:
            found.append((max(0.0, each.at_s - origin), now))
    return tuple(found)


def reached(event: Event) -> int:
    """Answer the rung on which the stack stands by this event; 0 when it says nothing of that.

    A step of the way back is a step as well: undone, it has come to where it leads.
    """
    over = event.kind != "phase" and event.state in ("ended", "undone")
    return event.rung_to if over else 0


def level(standing: Sequence[tuple[float, int]], at: float) -> int:
    """Answer the rung at a moment."""
    return [rung for since, rung in standing if since <= at or since == standing[0][0]][-1]


def stays(
    steps: Sequence[Step], standing: Sequence[tuple[float, int]], *, began: float, until: float
) -> tuple[Stay, ...]:
    """Answer the times between two moments in which no step was under way."""
    found: list[Stay] = []
    free_since = began
    for begins, ended in [*((each.began, each.ended) for each in steps), (until, until)]:
        if begins - free_since >= STAY_AT_LEAST_S:
            rung = level(standing, (free_since + begins) / 2)
            found.append(Stay(rung=rung, began=free_since, ended=begins))
        free_since = max(free_since, ended)
    return tuple(found)


def _step(begun: Event, ended: float, state: str, origin: float) -> Step:
    return Step(
        name=begun.name,
        began=begun.at_s - origin,
        ended=ended,
        rung_from=begun.rung_from,
        rung_to=begun.rung_to,
        state=state,
        why=begun.why,
    )
