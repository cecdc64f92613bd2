"""Moving a database to another server: the table of steps, each of which may be done again. Pure.

The step is written down before it is begun, so that whoever comes after a crash knows what may be
undone (until the old server is proven to be stopped with everything handed over) and what must be
finished (from then on).

Source: the phases of a planned switchover as Patroni and repmgr do it; h11 `_state.py` for the
form.
"""

from __future__ import annotations

from enum import Enum


class Step(Enum):
    """Where a move stands."""

    BUILDING = "building"
    STOPPING = "stopping"
    PROMOTING = "promoting"
    TIDYING = "tidying"
    UNDOING = "undoing"
    DONE = "done"


class Event(Enum):
    """What happened to a move."""

    CAUGHT_UP = "caught up"
    PROVEN = "proven complete"
    PROMOTED = "promoted"
    TIDIED = "tidied"
    UNDONE = "undone"
    GIVEN_UP = "given up"
    TRIED_AGAIN = "tried again"


TABLE: dict[tuple[Step, Event], Step] = {
    (Step.BUILDING, Event.CAUGHT_UP): Step.STOPPING,
    (Step.BUILDING, Event.GIVEN_UP): Step.UNDOING,
    (Step.BUILDING, Event.TRIED_AGAIN): Step.BUILDING,
    (Step.STOPPING, Event.PROVEN): Step.PROMOTING,
    (Step.STOPPING, Event.GIVEN_UP): Step.UNDOING,
    (Step.STOPPING, Event.TRIED_AGAIN): Step.BUILDING,
    (Step.PROMOTING, Event.PROMOTED): Step.TIDYING,
    (Step.PROMOTING, Event.GIVEN_UP): Step.PROMOTING,
    (Step.PROMOTING, Event.TRIED_AGAIN): Step.PROMOTING,
    (Step.TIDYING, Event.TIDIED): Step.DONE,
    (Step.TIDYING, Event.GIVEN_UP): Step.TIDYING,
    (Step.TIDYING, Event.TRIED_AGAIN): Step.TIDYING,
    (Step.UNDOING, Event.UNDONE): Step.DONE,
    (Step.UNDOING, Event.GIVEN_UP): Step.UNDOING,
    (Step.UNDOING, Event.TRIED_AGAIN): Step.UNDOING,
}
"""What follows. From PROMOTING on nothing leads back: the new server may have taken writes."""

FORWARD = frozenset({Step.PROMOTING, Step.TIDYING})
"""Steps that are only ever finished."""


def following(step: Step, event: Event) -> Step:
    """Answer the step after `step` when `event` happens. Raise KeyError when it cannot happen."""
    return TABLE[step, event]


def home(step: Step, *, origin: int, target: int) -> int:
    """Answer the number of the server whose data counts at `step`."""
    return target if step in FORWARD or step is Step.DONE else origin
