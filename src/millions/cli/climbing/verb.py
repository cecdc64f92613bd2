"""What `climb` and `apply` have in common: plan, print, ask, go."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click
from rich.console import Console

from millions.cli import changing, editing, exits
from millions.cli.climbing import beside as besides
from millions.cli.climbing import going, planning, record, saying
from millions.cli.progress import Progress
from millions.climb.steps import Kind
from millions.climb.table import State
from millions.errors import ClimbError, DataRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from millions.cli.climbing.record import Climb
    from millions.cli.climbing.seen import Load
    from millions.cli.opened import Opened


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the command line said of how to go; `load` is what clients do meanwhile."""

    plan_only: bool = False
    yes: bool = False
    pause_after: str = ""
    as_json: bool = False
    load: Load | None = None


def fresh(
    opened: Opened, planned: Callable[[Opened], Climb], wishes: Wishes, *, own_file: bool = False
) -> int:
    """Plan a climb, say what it will do, and go (blocking); answer the exit status.

    `own_file`: it goes to what the stack file says, which then says all of it.
    """
    with changing.alone(opened.state):
        climb = planned(opened)
        going.checked(climb, wishes.pause_after)
        planning.check(opened, climb, patient=not wishes.plan_only)
        if wishes.plan_only or not wishes.as_json:
            _print(opened, climb, wishes)
        if wishes.plan_only:
            return exits.DONE.status
        _consent(climb, wishes)
        if own_file and editing.text_of(opened.file) != climb.target:
            editing.put_back(opened.file, climb.target)
        record.begin(opened.state)
        for step in climb.steps:
            ends = (step.rung_from, step.rung_to)
            record.tell(opened.state, "step", step.name, "planned", ends, why=step.why)
        record.write(opened.state, climb)
        return _go(opened, climb, wishes)


def unfinished(opened: Opened, wishes: Wishes, *, undo: bool) -> int:
    """Go on with the climb that is not at its end, or back (blocking); answer the exit status."""
    with changing.alone(opened.state, during_climb=True):
        begun = climb = _found(opened, undo=undo)
        finished: tuple[str, ...] = ()
        if undo:
            climb, finished = going.as_turned(opened, begun)
        going.checked(climb, wishes.pause_after)
        if wishes.plan_only:
            if finished and not wishes.as_json:
                click.echo(f"first {' and '.join(finished)} is finished, past its point of return")
            _print(opened, climb, wishes)
            return exits.DONE.status
        if undo:
            _consent(climb, wishes)
            with Progress(silent=wishes.as_json) as progress:
                climb = _interruptible(lambda: going.turned(opened, begun, progress))
        return _go(opened, climb, wishes)


def _found(opened: Opened, *, undo: bool) -> Climb:
    climb = record.read(opened.state)
    if climb is None:
        raise ClimbError(
            cannot="undo a climb" if undo else "go on with a climb",
            because="none is under way",
            try_="millions climb RUNG",
        )
    return climb


def _go(opened: Opened, climb: Climb, wishes: Wishes) -> int:
    began_s = time.monotonic()
    found = saying.told(opened, climb) if wishes.as_json else ()
    with (
        besides.beside(opened, wishes.load, rung=climb.ends[0], silent=wishes.as_json) as driven,
        Progress(
            silent=wishes.as_json or driven is not None, brief=Console(stderr=True).is_terminal
        ) as progress,
    ):
        climb = _interruptible(
            lambda: going.go(opened, climb, progress, pause_after=wishes.pause_after)
        )
    took_s = time.monotonic() - began_s
    done = climb.state is State.DONE
    if wishes.as_json:
        saying.outcome(climb, found, done=done, took_s=took_s, driven=driven)
    elif done:
        click.echo(f"{opened.stack.name} is on rung {climb.ends[1]}; it took {took_s:.1f} s")
    else:
        click.echo(
            f"paused before {climb.names[climb.at]}: millions climb --resume goes on, --undo back"
        )
    well = driven is None or (driven.ascent is not None and driven.ascent.well)
    return exits.DONE.status if well else exits.BROKEN.status


def _print(opened: Opened, climb: Climb, wishes: Wishes) -> None:
    found = saying.told(opened, climb)
    if wishes.as_json:
        saying.outcome(climb, found, done=False, took_s=0.0)
    else:
        saying.steps(found, first=climb.at + 1)


def _consent(climb: Climb, wishes: Wishes) -> None:
    """Ask before servers are erased whose data has gone back."""
    tiers = [each.tier for each in climb.steps[climb.at :] if each.kind is Kind.RETURNS]
    if not tiers or wishes.yes:
        return
    click.echo(f"The servers of {' and '.join(tiers)} are erased once their data is back", err=True)
    if click.prompt("Type yes to go on", default="", err=True) != "yes":
        raise DataRefusedError(
            cannot="climb back" if climb.turned is not None else "climb down",
            because="nobody consented; nothing was changed",
            try_="the same with --yes",
        )


def _interruptible(go: Callable[[], Climb]) -> Climb:
    try:
        return go()
    except KeyboardInterrupt:
        click.echo("the climb is kept: millions climb --resume goes on, --undo back", err=True)
        raise
