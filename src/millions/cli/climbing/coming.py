"""A tier with data comes: from when on it may hold some, and what becomes of it when it cannot.

Web processes write to its servers as soon as these are ready. From then on they stay, whatever
breaks off: the step is gone on with, or its data goes back first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from millions.cli import releasing
from millions.cli.climbing import erasing
from millions.errors import MillionsError
from millions.runtime import codec
from millions.runtime.ledger import RECORD
from millions.runtime.record import TRY, UnitRecord
from millions.tiers.kind import MOVED_BACK

if TYPE_CHECKING:
    from pathlib import Path

    from millions.cli.opened import Opened
    from millions.cli.progress import Progress
    from millions.runtime.state import StateFolder


def may_hold(state: StateFolder, tier: str) -> bool:
    """Whether a server of this tier may have data: it has a folder for it, and was ready once.

    Where nothing is known of a server but its folder, it may. What has gone back does not count.
    """
    return any(_may_hold(folder) for folder in _folders(state, tier))


def bring(opened: Opened, tier: str, release: str, progress: Progress) -> None:
    """Let the tier of this stack come (blocking).

    What breaks it off is undone, and its empty folders are erased, if no server of it was ready.
    """
    state = opened.state
    try:
        releasing.roll_out(opened, release, progress, unless=lambda: may_hold(state, tier))
    except (MillionsError, KeyboardInterrupt):
        if not may_hold(state, tier):
            names = [each.name for each in _folders(state, tier)]
            erasing.mark(state, names)
            erasing.erase(state, names, progress)
        raise


def _folders(state: StateFolder, tier: str) -> tuple[Path, ...]:
    """The folders of servers of this tier that have room for data."""
    found = (*state.units.glob(f"{tier}.*"), *state.units.glob(f"{tier}-*.*"))
    return tuple(each for each in sorted(found) if (each / "data").is_dir())


def _may_hold(folder: Path) -> bool:
    if (folder / "data" / MOVED_BACK).exists():
        return False
    record = codec.read(UnitRecord, folder / RECORD, try_=TRY)
    return record is None or record.good is not None
