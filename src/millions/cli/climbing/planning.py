"""A climb before it is begun: where it goes from and to, and everything that would forbid it."""

from __future__ import annotations

import dataclasses
import functools
import time
from typing import TYPE_CHECKING

from millions import stack as stacks
from millions.cli import checks, copies, editing, placed, releasing, waiting
from millions.cli.climbing import doing
from millions.cli.climbing.record import Climb
from millions.cli.moving import record as moves
from millions.cli.moving import refusals
from millions.cli.moving.record import Move
from millions.cli.opened import FILE_BYTES_MAX
from millions.cli.running import look, release_of, required
from millions.climb import steps as plans
from millions.climb.steps import Kind
from millions.errors import ClimbError, MoveError, StackFileError
from millions.tiers import tier as tier_called
from millions.tiers import tiers

if TYPE_CHECKING:
    from pathlib import Path

    from millions.cli.opened import Opened
    from millions.cli.running import Running
    from millions.climb.steps import Step
    from millions.stack import Stack

FIRST_SERVER = 1

WELL_WITHIN_S = 10.0
"""What has died a moment ago is back within this, the supervisor included."""


def to_rung(opened: Opened, number: int) -> Climb:
    """Answer the climb to rung `number`; the stack file stays as it is otherwise."""
    release, runs = _runs(opened)
    origin = _unedited(opened, runs)
    text = editing.changed(origin, None, "rung", number, source=str(opened.file))
    app = _app_of(opened, release)
    return _climb(release, origin, _with_servers(origin, text), apps=(app, app))


def to_file(opened: Opened, path: Path) -> Climb:
    """Answer the climb to what another stack file says."""
    release, runs = _runs(opened)
    origin = _unedited(opened, runs)
    if not path.is_file():
        raise StackFileError(
            cannot=f"climb to {path}",
            because="there is no such file",
            try_="the number of a rung, or the path of a stack file",
        )
    if path.stat().st_size > FILE_BYTES_MAX:
        raise StackFileError(
            cannot=f"read {path}", because="it is too large for a stack file", try_="another file"
        )
    return _to_text(opened, release, origin, editing.text_of(path), source=str(path))


def to_stack_file(opened: Opened) -> Climb:
    """Answer the climb from what runs to what the stack file says now.

    Another rung takes the database along, as `to_rung` does, where the file does not say its
    server.
    """
    release, runs = _runs(opened)
    text = editing.text_of(opened.file)
    return _to_text(opened, release, runs, _with_servers(runs, text), source=str(opened.file))


def _with_servers(origin: str, text: str) -> str:
    """The text with the servers to which tiers move between the two rungs."""
    runs, target = stacks.parse(origin), stacks.parse(text)
    for tier in tiers():
        server, wanted = (
            int(getattr(each.tables.get(tier.name), "server", 0)) for each in (runs, target)
        )
        if not tier.moved or not server or wanted != server:
            continue
        if runs.rung < tier.moved <= target.rung and server == FIRST_SERVER:
            text = editing.changed(text, tier.name, "server", FIRST_SERVER + 1)
        elif target.rung < tier.moved <= runs.rung and server != FIRST_SERVER:
            text = editing.changed(text, tier.name, "server", FIRST_SERVER)
    return text


def check(opened: Opened, climb: Climb, *, patient: bool = False) -> None:
    """Raise for whatever is known now to forbid one of the steps; nothing was changed then.

    `patient` waits some seconds for what is coming back, and starts the supervisor should it have
    died.
    """
    move = moves.read(opened.state)
    if move is not None:
        raise MoveError(
            cannot="climb",
            because=f"a move of the database to server {move.target} is half done",
            try_="millions up, or the move again: both finish it or undo it",
        )
    _well(opened, patient=patient)
    renamed: dict[str, str | None] = {}
    before = climb.first
    size = functools.cache(copies.size_of)  # the same folders at each step
    bound = list(required(opened.state).units)
    for step in climb.steps:
        _check_step(opened, climb, step, before, renamed)
        there = doing.units(opened, step.stack, climb.release)
        copies.fits(doing.at(opened, step.stack), there, size)
        checks.listens(there, bound=bound)
        bound += there
        before = step.stack


def _check_step(
    opened: Opened, climb: Climb, step: Step, before: Stack, renamed: dict[str, str | None]
) -> None:
    """Raise what forbids a step; `renamed` says where data will be by then, None: nowhere."""
    there = doing.at(opened, step.stack)
    tier = tier_called(step.tier)
    if step.kind is Kind.MOVES:
        one, two = (
            int(getattr(each.tables[step.tier], "server", 0)) for each in (before, step.stack)
        )
        refusals.of_the_plan(there, Move(origin=one, target=two))
        renamed[f"{step.tier}.{two}"] = renamed.get(f"{step.tier}.{one}", f"{step.tier}.{one}")
        renamed[f"{step.tier}.{one}"] = None
    if step.kind is Kind.GOES and tier and tier.progress:
        units = doing.units(opened, before, climb.release)
        renamed |= {each.name: None for each in units if each.tier == step.tier}

    def read(unit: str, name: str) -> str | None:
        place = renamed.get(unit, unit)
        return None if place is None else placed.read_data(opened, place, name)

    places = placed.places(there, release=climb.release)
    stacks.check(step.stack, places, read)


def _to_text(opened: Opened, release: str, runs: str, text: str, *, source: str) -> Climb:
    found = stacks.parse(text, source=source)
    if found.name != opened.state.identity.name:
        raise StackFileError(
            cannot=f"climb to {source}",
            because=f"[app] name is {found.name!r}, and this stack is "
            f"{opened.state.identity.name!r}",
            try_=f'name = "{opened.state.identity.name}"',
        )
    return _climb(release, runs, text, apps=(_app_of(opened, release), text))


def _climb(release: str, origin: str, target: str, *, apps: tuple[str, str]) -> Climb:
    bare = Climb(
        origin=origin,
        target=target,
        app=apps[0],
        app_wanted=apps[1],
        release=release,
        names=(),
        began_at_s=time.time(),
    )
    return dataclasses.replace(bare, names=tuple(each.name for each in plans.along(bare.way)))


def _runs(opened: Opened) -> tuple[str, str]:
    """Answer the release that runs and the text by which it does."""
    release = release_of(required(opened.state))
    text = releasing.noted(opened.state, release)
    if text is None:
        raise ClimbError(
            cannot="climb",
            because="what the stack file said when the stack was started was not kept",
            try_="millions up, then the climb",
        )
    return release, text


def _app_of(opened: Opened, release: str) -> str:
    """The text whose [app] table the release that runs was made with."""
    return releasing.kept_text(opened.state, release)


def _unedited(opened: Opened, runs: str) -> str:
    """Answer the stack file as it is, which must say what runs; but for [app], which is released.

    Raise ClimbError when it says something else.
    """
    one, two = stacks.parse(runs), opened.stack
    if plans.steps(dataclasses.replace(one, app=two.app), two) or one.rung != two.rung:
        raise ClimbError(
            cannot=f"climb with {opened.file}",
            because="it says something else than what runs",
            try_="millions apply, which goes there; then the climb",
        )
    return editing.text_of(opened.file)


def _well(opened: Opened, *, patient: bool) -> None:
    """Raise ClimbError while not everything is ready (blocking, bounded)."""

    def late(lacking: str) -> ClimbError:
        return ClimbError(
            cannot=f"climb with {opened.stack.name}",
            because=f"not everything of the stack is ready: {lacking}",
            try_="millions status, then millions up",
        )

    within_s = WELL_WITHIN_S if patient else 0.0
    waiting.until(opened.state, lambda: _lacking(look(opened.state)), late, within_s=within_s)


def _lacking(found: Running) -> str:
    """What of the stack is not ready, in words; '' when all is well."""
    if found.well:
        return ""
    if not found.supervised:
        return "its supervisor does not run"
    units = found.status.units if found.status is not None else ()
    said = [f"{each.name} is {each.phase}" for each in units if each.phase != "ready"]
    return ", ".join(said) or "a change is under way"
