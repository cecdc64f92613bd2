"""A climb from where it stands to its end, or back: the loop over its steps.

Every step is written down before it is begun; whatever breaks it off leaves a climb that can be
gone on with or undone.
"""

from __future__ import annotations

import dataclasses
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from millions.cli import changing, editing, releasing
from millions.cli.climbing import coming, doing, record
from millions.climb import steps as plans
from millions.climb.steps import Kind
from millions.climb.table import Event, State
from millions.errors import ClimbError, MillionsError
from millions.runtime import supervisor
from millions.tiers import tier as tier_called

if TYPE_CHECKING:
    from collections.abc import Generator

    from millions.cli.climbing.record import Climb
    from millions.cli.opened import Opened
    from millions.cli.progress import Progress
    from millions.climb.steps import Step
    from millions.stack import Stack

TRY = "millions climb --resume, or --undo"


def go(opened: Opened, climb: Climb, progress: Progress, *, pause_after: str = "") -> Climb:
    """Go to the end, or until after the step `pause_after` (blocking); answer where it stands."""
    checked(climb, pause_after)
    record.tell(opened.state, "climb", _name(climb), "began", climb.ends)
    steps = climb.steps
    while climb.at < len(steps):
        step = steps[climb.at]
        climb = _step(opened, climb, step, progress)
        if step.name == pause_after and climb.at < len(steps):
            return climb
    return _arrived(opened, climb, progress)


def turned(opened: Opened, climb: Climb, progress: Progress) -> Climb:
    """Turn round (blocking); what is past its point of no return is finished first."""
    if climb.turned is not None:
        return climb
    while _must_go_on(climb):
        climb = _step(opened, climb, climb.steps[climb.at], progress)
    return record.advance(opened.state, _way_back(opened, climb), Event.TURNED)


def as_turned(opened: Opened, climb: Climb) -> tuple[Climb, tuple[str, ...]]:
    """Answer the climb as it would be turned, and the steps finished first; change nothing."""
    first: list[str] = []
    while climb.turned is None and _must_go_on(climb):
        first.append(climb.names[climb.at])
        climb = dataclasses.replace(climb, at=climb.at + 1, state=State.READY)
    return (climb if climb.turned is not None else _way_back(opened, climb)), tuple(first)


def _way_back(opened: Opened, climb: Climb) -> Climb:
    """The climb from what was begun to where it came from; its state is still that on the way."""
    under_way = climb.state in (State.CHANGING, State.PROVING)
    begun = climb.at + (under_way and not _never_came(opened, climb))
    back = dataclasses.replace(climb, turned=begun, at=0)
    names = tuple(each.name for each in plans.steps(back.first, climb.way[0]))
    return dataclasses.replace(back, names=names)


def _step(opened: Opened, climb: Climb, step: Step, progress: Progress) -> Climb:
    """Do one step, from its beginning or again."""
    state, before = opened.state, _before(climb)
    number = f"{climb.at + 1} of {len(climb.names)}"
    progress.tell(f"step {number}, {step.name}: {step.why}")
    began_s = time.monotonic()
    if changing.current(state) is not None:
        supervisor.ensure(state)  # it may have died with an earlier try
    climb = record.advance(state, climb, Event.BEGUN)
    with _told(opened, climb, step):
        with _phase(opened, step, "change"):
            doing.change(opened, step, before, climb.release, progress)
        climb = record.advance(state, climb, Event.RUNS)
        with _phase(opened, step, "prove"):
            doing.prove(opened, step, before, climb.release, progress)
    climb = record.advance(state, climb, Event.PROVEN)  # told before: else a kill leaves it open
    progress.tell(f"step {number}, {step.name}: done in {time.monotonic() - began_s:.1f} s")
    return climb


def _arrived(opened: Opened, climb: Climb, progress: Progress) -> Climb:
    """Write what runs into the stack file, and end the climb."""
    if climb.state is State.READY:
        climb = record.advance(opened.state, climb, Event.ARRIVED)
    found = editing.text_of(opened.file)
    if found not in (climb.origin, climb.target):
        progress.tell(f"{opened.file} was edited meanwhile and stays so: millions apply goes on")
    elif found != climb.text:
        editing.put_back(opened.file, climb.text)
    releasing.note(opened.state, climb.text)
    runs = climb.app_wanted if climb.turned is None else climb.app
    releasing.keep(opened.state, climb.release, runs)  # its [app] is what the release runs with
    record.tell(opened.state, "climb", _name(climb), "ended", climb.ends)
    return record.advance(opened.state, climb, Event.WRITTEN)


@contextmanager
def _told(opened: Opened, climb: Climb, step: Step) -> Generator[None]:
    """Tell of the step's beginning and end; say of whatever breaks it off how to go on."""
    state, ends = opened.state, (step.rung_from, step.rung_to)
    record.tell(state, "step", step.name, "began", ends, why=step.why)
    try:
        yield
    except KeyboardInterrupt:
        record.tell(state, "step", step.name, "failed", ends, said="interrupted")
        raise
    except OSError as error:
        record.tell(state, "step", step.name, "failed", ends, said=str(error))
        raise
    except MillionsError as error:
        record.tell(state, "step", step.name, "failed", ends, said=error.because)
        raise ClimbError(
            cannot=f"go on from step {step.name}",
            because=f"cannot {error.cannot}: {error.because}"
            + (f" (try: {error.try_})" if error.try_ else ""),
            try_=TRY,
        ) from error
    back = climb.turned is not None
    record.tell(state, "step", step.name, "undone" if back else "ended", ends)


@contextmanager
def _phase(opened: Opened, step: Step, name: str) -> Generator[None]:
    ends = (step.rung_from, step.rung_to)
    record.tell(opened.state, "phase", f"{step.name} {name}", "began", ends)
    yield
    record.tell(opened.state, "phase", f"{step.name} {name}", "ended", ends)


def _before(climb: Climb) -> Stack:
    return climb.steps[climb.at - 1].stack if climb.at else climb.first


def _must_go_on(climb: Climb) -> bool:
    """Whether data is between two places: it is going back, or has and its servers still run."""
    steps = climb.steps
    under_way = climb.state in (State.CHANGING, State.PROVING)
    begun = under_way and steps[climb.at].kind is Kind.RETURNS
    return begun or (climb.at > 0 and steps[climb.at - 1].kind is Kind.RETURNS)


def _never_came(opened: Opened, climb: Climb) -> bool:
    """Whether the step that was begun was to bring a tier of which nothing is wanted or left."""
    step, desired = climb.steps[climb.at], changing.last(opened.state)
    tier = tier_called(step.tier)
    here = any(each.tier == step.tier for each in (desired.units if desired else ()))
    holds = tier is not None and bool(tier.progress) and coming.may_hold(opened.state, step.tier)
    return step.kind is Kind.COMES and not here and not holds


def _name(climb: Climb) -> str:
    return f"{climb.ends[0]} to {climb.ends[1]}"


def checked(climb: Climb, pause_after: str) -> None:
    """Raise ClimbError when no step that is still to go is called `pause_after`; '' is none."""
    if pause_after and pause_after not in climb.names[climb.at :]:
        raise ClimbError(
            cannot=f"pause after {pause_after}",
            because=f"the steps are {', '.join(climb.names[climb.at :]) or 'done'}",
            try_="millions climb RUNG --plan",
        )
