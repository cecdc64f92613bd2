"""One step of a climb: make its stack run, prove it, erase what it leaves behind.

Each may be done again after any crash. Which step follows is not decided here.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from typing import TYPE_CHECKING

from millions import stack as stacks
from millions.cli import changing, checks, leading, members, placed, releasing
from millions.cli.climbing import coming, erasing, proving
from millions.cli.moving import beginning, copies_left, move, record
from millions.cli.moving.record import Move
from millions.cli.moving.site import TIER
from millions.climb.steps import Kind
from millions.errors import ClimbError
from millions.runtime import supervisor
from millions.tiers import tier as tier_called

if TYPE_CHECKING:
    from millions.cli.opened import Opened
    from millions.cli.progress import Progress
    from millions.climb.steps import Step
    from millions.model import Unit
    from millions.stack import Stack


def change(opened: Opened, step: Step, before: Stack, release: str, progress: Progress) -> None:
    """Make the stack of the step run, whatever runs now (blocking)."""
    there = at(opened, step.stack)
    if step.kind is Kind.MOVES:
        _settle(at(opened, before), progress)
        _started(opened, step, before, release, progress)
        _move(there, step, progress)
    elif step.kind is Kind.RETURNS:
        wanted = releasing.desired(there, release)
        checks.before_change(there, wanted)
        changing.written(there.state, wanted, progress)  # from here on it is only finished
    elif step.kind is Kind.COMES and _holds_data(step.tier):
        coming.bring(there, step.tier, release, progress)
    else:
        _hand_over(there, at(opened, before), release, progress)
        releasing.roll_out(there, release, progress)


def prove(opened: Opened, step: Step, before: Stack, release: str, progress: Progress) -> None:
    """Wait until the engines prove what the step is for; then erase what it leaves (blocking)."""
    proving.members_complete(opened.state, progress)
    tier = tier_called(step.tier)
    if tier is not None and tier.progress:
        _data(opened, step, before, progress, release=release, module=tier.progress)
    if step.kind in (Kind.MOVES, Kind.GOES):
        erasing.copies(at(opened, step.stack), progress)


def at(opened: Opened, stack: Stack) -> Opened:
    """The stack file as if it said this stack, which is on the way."""
    return dataclasses.replace(opened, stack=stack, between=True)


def units(opened: Opened, stack: Stack, release: str) -> tuple[Unit, ...]:
    """Answer the units of a stack on the way."""
    there = at(opened, stack)
    places = placed.places(there, release=release)
    return stacks.units(stack, places)


def _data(
    opened: Opened, step: Step, before: Stack, progress: Progress, *, release: str, module: str
) -> None:
    """Prove that the data of the step's tier is where it is to be; erase where it was."""
    if step.kind is Kind.GOES:
        names = [each.name for each in _holding(units(opened, before, release), step.tier)]
        erasing.marked(opened.state, names)
        erasing.erase(opened.state, names, progress)
        erasing.index(opened.state, step.tier)
    elif step.kind in (Kind.COMES, Kind.RETURNS):
        comes, unmoved = step.kind is Kind.COMES, proving.progress_of(module)
        proving.data_moved(opened.state, unmoved, progress, to_servers=comes)
        if not comes:
            held = _holding(units(opened, step.stack, release), step.tier)
            erasing.mark(opened.state, [each.name for each in held])


def _holds_data(name: str) -> bool:
    tier = tier_called(name)
    return tier is not None and bool(tier.progress)


def _holding(units: tuple[Unit, ...], tier: str) -> tuple[Unit, ...]:
    return tuple(each for each in units if each.tier == tier and each.holds_data)


def _settle(opened: Opened, progress: Progress) -> None:
    """Finish or undo a move that an earlier try has begun (blocking)."""
    found = record.read(opened.state)
    if found is not None:
        asyncio.run(move.settle(opened, found, progress))


def _started(opened: Opened, step: Step, before: Stack, release: str, progress: Progress) -> None:
    """Start the stack where nothing of it runs, with the database where its data is (blocking)."""
    if changing.current(opened.state) is not None:
        return
    moved = int(getattr(step.stack.tables[step.tier], "server", 0))
    stack = step.stack if copies_left.has_data(opened.state, moved) else before
    releasing.roll_out(at(opened, stack), release, progress)


def _move(opened: Opened, step: Step, progress: Progress) -> None:
    """Move the database to the server of the step, whatever an earlier try has done of it."""
    target = int(getattr(step.stack.tables[step.tier], "server", 0))
    desired = changing.current(opened.state)
    runs = next(each for each in (desired.units if desired else ()) if each.tier == TIER)
    origin = int(runs.name.rpartition(".")[2])
    if origin == target:
        return
    wanted = Move(origin=origin, target=target, began_at_s=time.time())
    done = asyncio.run(beginning.begin(opened, wanted, progress, fresh=True))
    progress.tell(f"writes waited for {done.gap_s:.2f} s")


def _hand_over(opened: Opened, before: Opened, release: str, progress: Progress) -> None:
    """Let a member lead that stays, where the one that leads is to go.

    Members that were taken down are started for that: they know whose data is the newest.
    """
    former = changing.current(opened.state)
    stays = [each for each in units(opened, opened.stack, release) if each.tier == TIER]
    if former is None:
        were = [each for each in units(before, before.stack, release) if each.lease]
        if not were or len(stays) >= len(were):
            return
        releasing.roll_out(before, release, progress)
        former = changing.current(opened.state)
    if not members.units(former) or former is None:
        return
    dropped = {each.name for each in members.units(former)} - {each.name for each in stays}
    if not dropped and all(each.lease for each in stays):
        return
    proving.members_complete(opened.state, progress)
    leads = members.leader(members.members(former))
    if leads in [each.name for each in stays]:
        return
    if not stays:
        raise ClimbError(
            cannot="go on", because="no server of the database is to stay", try_="millions status"
        )
    supervisor.ensure(opened.state)  # who hands over is followed by whom it lets lead
    _, leads, took_s = leading.hand_over(opened.state, former, stays[0].name, progress)
    progress.tell(f"{leads} leads now; it took {took_s:.1f} s")
    proving.members_complete(opened.state, progress)
