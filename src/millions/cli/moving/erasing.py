"""Erasing what a move left behind on the old server, after somebody consented."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from millions.cli.opened import Opened
    from millions.cli.progress import Progress


def erase(opened: Opened, names: tuple[str, ...], progress: Progress) -> None:
    """Erase the data folders of these units, of which nothing runs (blocking)."""
    for name in names:
        progress.say(f"erases what {name} kept")
        unit = opened.state.unit(name)
        shutil.rmtree(unit / "data")
        shutil.rmtree(unit / "prepared", ignore_errors=True)
