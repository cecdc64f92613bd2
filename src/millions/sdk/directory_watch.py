"""Watches the directory document, which the supervisor replaces when something moves.

It looks at the file ten times a second and reads it when it is another one. It decides nothing;
what cannot be read is looked at again.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from millions import directory
from millions.sdk.log import log

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from millions.directory import Directory

EVERY_S = 0.1
"""A move waits this long for everybody to hear that transactions are to be held, so it is a part of
the pause that writers see. Replicas are read from only some time after it (`topology.SETTLE_S`)."""

LONGEST_S = 5.0
"""Between two looks while what is there cannot be followed."""

Mark = tuple[int, int, int]


class DirectoryWatch:
    """Calls `changed` with each new document at `path` that is newer than the one before it."""

    def __init__(
        self, path: str, epoch: int, changed: Callable[[Directory], Awaitable[None]]
    ) -> None:
        self._path = path
        self._epoch = epoch
        self._changed = changed
        self._mark: Mark | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, in the background. What changed since the document was read counts."""
        self._task = asyncio.create_task(self._run(), name="millions directory")

    async def stop(self) -> None:
        """Stop, and wait until it has."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _run(self) -> None:
        pause_s, failed = EVERY_S, None
        while True:
            mark = self._look()
            if mark is not None and mark != self._mark:
                try:
                    found = await asyncio.to_thread(directory.read, self._path)
                    if found.epoch > self._epoch:
                        await self._changed(found)
                        self._epoch = found.epoch
                    self._mark, pause_s = mark, EVERY_S
                except Exception as error:  # noqa: BLE001  # whatever it was, the next look is due
                    pause_s = min(2 * pause_s, LONGEST_S) if mark == failed else EVERY_S
                    failed = mark
                    log.warning("directory not followed yet", because=str(error) or repr(error))
            await asyncio.sleep(pause_s)

    def _look(self) -> Mark | None:
        try:
            found = os.stat(self._path)  # noqa: PTH116  # often, for ever
        except OSError:
            return None  # it is being replaced, or its disk is away
        return found.st_ino, found.st_mtime_ns, found.st_size
