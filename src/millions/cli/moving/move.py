"""A move from its beginning to its end, and what becomes of one that was broken off.

Every step is written down before it is begun. What fails before the new server is proven complete
is undone; what fails later is finished by whoever comes next.
"""

from __future__ import annotations

import signal
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from millions.cli import changing
from millions.cli import ending as stacks_ending
from millions.cli.moving import building, cutting, ending, record
from millions.cli.moving.record import Move
from millions.cli.moving.site import ask_for, site
from millions.errors import MillionsError, MoveError
from millions.reconcile.moves import FORWARD, Event, Step

if TYPE_CHECKING:
    from collections.abc import Generator

    from millions.cli.moving.site import Site
    from millions.cli.opened import Opened
    from millions.cli.progress import Progress

UNINTERRUPTED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


async def move(opened: Opened, wanted: Move, progress: Progress) -> Move:
    """Move the database; go on with the same move when it was broken off. Raise MoveError."""
    place = site(opened, wanted, progress)
    try:
        return await _from(place, record.write(opened.state, wanted))
    finally:
        await place.close()


async def settle(opened: Opened, found: Move, progress: Progress) -> None:
    """Finish or undo a move that was broken off; the stack then runs, or not, as it did before."""
    ran = changing.current(opened.state) is not None
    progress.say(f"a move to server {found.target} was broken off at {found.step.value!r}")
    place = site(opened, found, progress)
    try:
        if found.step in FORWARD:
            await _finished(place, found)
        else:
            await ending.undo(place, found)
    finally:
        await place.close()
    if not ran:
        stacks_ending.stop(opened.state, progress)


async def _from(place: Site, found: Move) -> Move:
    """Go from the step of `found` to the end."""
    if found.step in FORWARD:
        return await _finished(place, found)
    state = place.state
    try:
        if found.step is Step.UNDOING:
            await ending.undo(place, found)
            found = record.write(state, _fresh(found))
        found = record.advance(state, found, Event.TRIED_AGAIN)
        await building.build(place, found)
        with _uninterrupted():
            try:
                found = await cutting.cut_over(place, found)
            except MillionsError:
                found = record.read(state) or found
                raise
            await ending.tidy(place, found)
    except BaseException as error:
        now = record.read(state)
        if now is None:
            raise
        if now.step in FORWARD:
            raise _unfinished(now, error) from error
        place.progress.say("undoes it")
        await ending.undo(place, now)
        raise
    return found


async def _finished(place: Site, found: Move) -> Move:
    """Finish a move whose new server is proven to have everything."""
    with _uninterrupted():
        if found.step is Step.PROMOTING:
            members = (place.origin, place.target)
            ask_for(place, (place.target,), members, held=True)
            found = await cutting.promote(place, found)
        await ending.tidy(place, found)
    return found


def _fresh(found: Move) -> Move:
    return Move(
        origin=found.origin,
        target=found.target,
        memory_mib=found.memory_mib,
        began_at_s=time.time(),
    )


def _unfinished(found: Move, error: BaseException) -> MoveError:
    because = error.because if isinstance(error, MillionsError) else str(error)
    return MoveError(
        cannot=f"finish the move to server {found.target}",
        because=f"{because}; its data is complete there, and the old server stays stopped",
        try_=f"millions move database --to {found.target}, or millions up: both finish it",
    )


@contextmanager
def _uninterrupted() -> Generator[None]:
    """Let nobody break off what takes a second or two: it would only take longer."""
    former = {each: signal.signal(each, signal.SIG_IGN) for each in UNINTERRUPTED}
    try:
        yield
    finally:
        for each, handler in former.items():
            signal.signal(each, handler)
