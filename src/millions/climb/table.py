"""How far a climb is: the table of what follows, each step of which may be done again. Pure.

A step is written down before it is begun, so that whoever comes after a crash knows what runs at
most, and goes on with it or turns round from it.
"""

from __future__ import annotations

from enum import Enum


class State(Enum):
    """Where a climb stands. `READY`: between two steps."""

    READY = "ready"
    CHANGING = "changing"
    PROVING = "proving"
    ENDING = "ending"
    DONE = "done"


class Event(Enum):
    """What happened to a climb."""

    BEGUN = "begun"
    RUNS = "runs"
    PROVEN = "proven"
    TURNED = "turned round"
    ARRIVED = "arrived"
    WRITTEN = "written down"


TABLE: dict[tuple[State, Event], State] = {
    (State.READY, Event.BEGUN): State.CHANGING,
    (State.READY, Event.ARRIVED): State.ENDING,
    (State.READY, Event.TURNED): State.READY,
    (State.CHANGING, Event.BEGUN): State.CHANGING,
    (State.CHANGING, Event.RUNS): State.PROVING,
    (State.CHANGING, Event.TURNED): State.READY,
    (State.PROVING, Event.BEGUN): State.CHANGING,
    (State.PROVING, Event.PROVEN): State.READY,
    (State.PROVING, Event.TURNED): State.READY,
    (State.ENDING, Event.TURNED): State.READY,
    (State.ENDING, Event.WRITTEN): State.DONE,
}
"""What follows. A step that was broken off is begun again, whatever was done of it."""


def following(state: State, event: Event) -> State:
    """Answer the state after `event`. Raise KeyError when it cannot happen."""
    return TABLE[state, event]
