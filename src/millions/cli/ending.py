"""Stopping a stack, and erasing what this machine keeps of it."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from millions.runtime import down

if TYPE_CHECKING:
    from millions.cli.progress import Progress
    from millions.runtime.state import StateFolder


def stop(state: StateFolder, progress: Progress) -> tuple[str, ...]:
    """Stop everything of the stack (blocking); answer the names of what ran."""
    return down.stop_all(state, progress=progress.say)


def erase(state: StateFolder) -> None:
    """Erase all that is kept of a stack that does not run: database, uploads, releases, logs."""
    shutil.rmtree(state.path)
    shutil.rmtree(state.run, ignore_errors=True)
