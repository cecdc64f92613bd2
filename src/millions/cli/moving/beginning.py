"""The beginning of a move: everything is checked, then it goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from millions.cli.moving import move as moves
from millions.cli.moving import refusals
from millions.cli.moving.site import Site, site
from millions.cli.running import required

if TYPE_CHECKING:
    from millions.cli.moving.record import Move
    from millions.cli.opened import Opened
    from millions.cli.progress import Progress


async def begin(opened: Opened, wanted: Move, progress: Progress, *, fresh: bool) -> Move:
    """Check everything where the move is `fresh`, then move. Raise what forbids it."""
    if fresh:
        required(opened.state)
        refusals.of_the_command(opened, wanted)
        place = site(opened, wanted, progress)
        try:
            await _refuse(place, wanted)
        finally:
            await place.close()
    return await moves.move(opened, wanted, progress)


async def _refuse(place: Site, wanted: Move) -> None:
    await refusals.of_the_stack(place, wanted)
    for note in await refusals.of_the_server(place):
        place.progress.say(note)
