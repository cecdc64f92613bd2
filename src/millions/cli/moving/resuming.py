"""A move that was broken off, found by a command that comes later: finished or undone first."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING

from millions.cli.moving import move, record
from millions.cli.opened import read

if TYPE_CHECKING:
    from millions.cli.opened import Opened
    from millions.cli.progress import Progress


def settled(opened: Opened, progress: Progress) -> Opened:
    """Finish or undo a move that was broken off (blocking); answer the stack as it is then."""
    found = record.read(opened.state)
    if found is None:
        return opened
    asyncio.run(move.settle(opened, found, progress))
    return dataclasses.replace(opened, stack=read(opened.file))
