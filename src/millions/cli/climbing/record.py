"""`climb.json`: which climb is under way and how far it is; `climb.jsonl`: what it has done.

`climb.json` is written before each step is begun and erased at the end; whoever finds it goes on or
turns round, and needs nothing else. Never holds a secret.
"""

from __future__ import annotations

import dataclasses
import os
import time
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from millions import stack as stacks
from millions.climb import record as events
from millions.climb import steps as plans
from millions.climb import table
from millions.climb.table import Event, State
from millions.errors import StateError
from millions.runtime import codec, files

if TYPE_CHECKING:
    from pathlib import Path

    from millions.climb.steps import Step
    from millions.runtime.state import StateFolder
    from millions.stack import Stack

FORMAT = 1
"""Version of the file's shape; another one is refused."""

TRY = "the version of millions that began the climb"


@dataclass(frozen=True, kw_only=True)
class Climb:
    """A climb from one text of the stack file to another, by `release`.

    `app` is the text whose [app] table runs, `app_wanted` the one whose [app] is to run. `names`
    are those of the steps, `at` counts those that are done. `turned` is how many were begun when it
    turned round, None on the way there; `at` and `names` are about the way back then.
    """

    origin: str
    target: str
    app: str
    app_wanted: str
    release: str
    names: tuple[str, ...]
    at: int = 0
    state: State = State.READY
    turned: int | None = None
    began_at_s: float = 0.0
    format: int = FORMAT

    @cached_property
    def way(self) -> tuple[Stack, ...]:
        """The stacks from one end to the other, on the way there."""
        found = plans.way(self.origin, self.target)
        runs, wanted = (stacks.parse(each).app for each in (self.app, self.app_wanted))
        return plans.with_apps(found, runs=runs, wanted=wanted)

    @cached_property
    def first(self) -> Stack:
        """What ran before the first of the steps."""
        if self.turned is None:
            return self.way[0]
        there = plans.along(self.way)
        return there[self.turned - 1].stack if self.turned else self.way[0]

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """The steps, there or back. Raise StateError when they are not those that were begun."""
        if self.turned is None:
            found = plans.along(self.way)
        else:
            found = plans.steps(self.first, self.way[0])
        if tuple(each.name for each in found) != self.names:
            raise StateError(
                cannot=f"go on with the climb of {events.UNDER_WAY}",
                because="this version of millions would go by other steps",
                try_=TRY,
            )
        return found

    @property
    def ends(self) -> tuple[int, int]:
        """The rungs that it goes from and to, as it goes now."""
        low, high = self.way[0].rung, self.way[-1].rung
        return (low, high) if self.turned is None else (high, low)

    @property
    def text(self) -> str:
        """What the stack file is to say at its end."""
        return self.target if self.turned is None else self.origin


def path(state: StateFolder) -> Path:
    """Where the record is while a climb is under way."""
    return state.path / events.UNDER_WAY


def read(state: StateFolder) -> Climb | None:
    """Read the record (blocking); None when no climb is under way. Raise StateError."""
    return codec.read(Climb, path(state), try_=TRY)


def write(state: StateFolder, climb: Climb) -> Climb:
    """Write the record durably (blocking); it is erased when the climb is done."""
    if climb.state is State.DONE:
        path(state).unlink(missing_ok=True)
    else:
        files.write(path(state), codec.text(climb))
    return climb


def advance(state: StateFolder, climb: Climb, event: Event) -> Climb:
    """Write down that `event` happened; answer the climb after it."""
    following = table.following(climb.state, event)
    at = climb.at + (event is Event.PROVEN)
    return write(state, dataclasses.replace(climb, state=following, at=at))


def begin(state: StateFolder) -> None:
    """Begin a new story of a climb (blocking)."""
    (state.path / events.FILE).unlink(missing_ok=True)


def tell(
    state: StateFolder,
    kind: events.Kind,
    name: str,
    how: events.State,
    ends: tuple[int, int],
    *,
    why: str = "",
    said: str = "",
) -> None:
    """Add a line to the story of the climb (blocking)."""
    event = events.Event(
        at_s=time.time(),
        kind=kind,
        name=name,
        state=how,
        rung_from=ends[0],
        rung_to=ends[1],
        why=why,
        said=said,
    )
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    file = os.open(state.path / events.FILE, flags, 0o600)
    try:
        os.write(file, event.text().encode() + b"\n")
    finally:
        os.close(file)
