"""What a step leaves behind is erased, once the engine proves that it is elsewhere.

What cannot be proven is kept, and said.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from millions.cli import changing, waiting
from millions.cli.moving import copies_left
from millions.errors import ClimbError
from millions.runtime import files
from millions.tiers.kind import MOVED_BACK

if TYPE_CHECKING:
    from collections.abc import Iterable

    from millions.cli.opened import Opened
    from millions.cli.progress import Progress
    from millions.runtime.state import StateFolder

ERASED_WITHIN_S = 600.0


def mark(state: StateFolder, names: Iterable[str]) -> None:
    """Write down beside the data of these units that it is elsewhere by now (blocking)."""
    for name in names:
        data = state.unit(name) / "data"
        if data.is_dir():
            files.write(data / MOVED_BACK, "what was here has gone back\n")


def marked(state: StateFolder, names: Iterable[str]) -> None:
    """Raise ClimbError when the data of one of these units is not known to be elsewhere."""
    for name in names:
        data = state.unit(name) / "data"
        if data.is_dir() and not (data / MOVED_BACK).exists():
            raise ClimbError(
                cannot=f"erase {name}",
                because=f"nothing proves that what is in {data} is elsewhere",
                try_="millions climb --undo",
            )


def erase(state: StateFolder, names: Iterable[str], progress: Progress) -> None:
    """Erase the folders of units that are not wanted any more (blocking, bounded).

    The consent to it ends with it: units of these names may have data again one day.
    """
    former = changing.last(state)
    there = tuple(name for name in names if state.unit(name).exists())
    if former is None or not there:
        return
    progress.tell(f"erases what {', '.join(there)} held; it is elsewhere")
    wanted = dataclasses.replace(former, generation=former.generation + 1, consent=there)
    changing.written(state, wanted, progress)

    def left() -> str:
        return ", ".join(name for name in there if state.unit(name).exists())

    def late(names: str) -> ClimbError:
        return ClimbError(
            cannot=f"erase {names}",
            because=f"their folders are there after {ERASED_WITHIN_S:g} s",
            try_="millions status, then millions climb --resume",
        )

    waiting.until(state, left, late, within_s=ERASED_WITHIN_S)
    kept = dataclasses.replace(wanted, generation=wanted.generation + 1, consent=())
    changing.written(state, kept, progress)


def copies(opened: Opened, progress: Progress) -> None:
    """Erase copies of the database of which nothing runs, if its server has all of them (blocking).

    Nothing is erased while the database has members: their copies are theirs.
    """
    found = copies_left.copies(opened)
    for name in found.others:
        progress.tell(f"{name} keeps its data: not all of it is proven to be elsewhere")
    erase(opened.state, found.contained, progress)
