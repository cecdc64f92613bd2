"""Moves all files, in the background, while both places serve: to the bucket, or back.

One process does, for half of its time at most, file after file; another goes on when it dies,
because what was moved is recorded. It begins once no process writes to the former place any more.
Source: `store/moving.py`.
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, Any

from millions.errors import MillionsError
from millions.sdk import files_copying, files_progress
from millions.sdk.files_both import Both
from millions.sdk.log import log
from millions.sdk.retry import DRIVER_ERRORS

if TYPE_CHECKING:
    from millions.sdk.files_back import Back
    from millions.sdk.files_guard import Guard
    from millions.sdk.store.rows import PoolSource

LOCK = 0x66696C65
"""The advisory lock of who moves ("file" in ASCII)."""

PAUSE_S = (0.3, 0.6)
"""Between two looks at whether somebody else moves."""

SETTLED_PAUSE_S = (3.0, 6.0)
"""Once everything has moved."""

REST_S = (0.001, 1.0)
"""After each file: as long as it took, within these."""

TOLD_EVERY = 50
"""Files between two records of how many are left."""


class Moving:
    """Moves what `place` has in its former half."""

    def __init__(self, database: PoolSource, guard: Guard, place: Both | Back) -> None:
        self._database = database
        self._guard = guard
        self._place = place
        self._settled = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, in the background."""
        self._task = asyncio.create_task(self._run(), name="files moving")

    async def stop(self) -> None:
        """Stop, and wait until it has; another process goes on."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            try:
                if not (self._settled and await self._is_empty()):
                    await self._move_as_the_one()
            except (*DRIVER_ERRORS, MillionsError) as error:
                self._settled = False
                log.warning("files not moved yet", because=str(error))
            pause_s = SETTLED_PAUSE_S if self._settled else PAUSE_S
            await asyncio.sleep(random.uniform(*pause_s))  # noqa: S311  # no secret

    async def _is_empty(self) -> bool:
        """Whether there is nothing to be looked for. On the way back that is to be said again."""
        if not isinstance(self._place, Both):
            return False
        names = self._place.folder.names()
        return await asyncio.to_thread(next, names, None) is None

    async def _move_as_the_one(self) -> None:
        async with self._database.pool().acquire() as connection:
            if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK):
                self._settled = False
                return
            try:
                await self._move(connection)
            finally:
                await connection.fetchval("SELECT pg_advisory_unlock($1)", LOCK)

    async def _move(self, connection: Any) -> None:
        """Move what there is; say that it was all once another look has found nothing."""
        both = isinstance(self._place, Both)
        epoch = await asyncio.to_thread(self._guard.epoch)
        await files_progress.begin(connection, to_servers=both, epoch=epoch)
        if not await self._guard.drained():
            return
        if self._settled and not both:
            await files_progress.tell(connection, epoch, 0)
            return
        look = self._move_folder if both else self._copy_bucket
        moved = await look(connection, epoch)
        while moved:
            moved = await look(connection, epoch)
        await files_progress.tell(connection, epoch, 0)
        self._settled = True

    async def _move_folder(self, connection: Any, epoch: int) -> int:
        """Move what is in the folder; answer how many files were."""
        place = self._place
        names = await asyncio.to_thread(lambda: list(place.folder.names()))
        for number, name in enumerate(names):
            if number % TOLD_EVERY == 0:
                await files_progress.tell(connection, epoch, len(names) - number)
            began_s = time.monotonic()
            async with self._guard.alone(name):
                await files_copying.to_bucket(place.folder, place.bucket, name)
            await _rest(began_s)
        return len(names)

    async def _copy_bucket(self, connection: Any, epoch: int) -> int:
        """Copy what is in the bucket and not yet back; answer how many files were."""
        place, copied = self._place, 0
        left = await self._count(connection)
        async for names in place.bucket.names():
            back = await files_progress.among(connection, names)
            for name in names:
                if name in back and await place.folder.find(name) is not None:
                    continue
                began_s = time.monotonic()
                async with self._guard.alone(name):
                    if name in back and await place.bucket.find(name) is None:
                        continue  # somebody has deleted it
                    await files_copying.to_folder(place.folder, place.bucket, name)
                    await files_progress.remember(connection, name)
                copied += 1
                if copied % TOLD_EVERY == 1:
                    await files_progress.tell(connection, epoch, max(1, left - copied))
                await _rest(began_s)
        return copied

    async def _count(self, connection: Any) -> int:
        """How many are to be copied back."""
        left = 0
        async for names in self._place.bucket.names():
            left += len(set(names) - await files_progress.among(connection, names))
        return left


async def _rest(began_s: float) -> None:
    least, most = REST_S
    await asyncio.sleep(min(most, max(least, time.monotonic() - began_s)))
