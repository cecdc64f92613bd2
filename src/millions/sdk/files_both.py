"""The change from the folder to the bucket: both serve.

What is new goes to the bucket, what is not there is looked for in the folder, and of two versions
of a file the newer one counts. A process that used the folder alone goes on to, until the bucket
has answered it once; one that began with the bucket never writes to the folder. Beside that, what
is in the folder is moved to the bucket (`files_moving.py`).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from millions.sdk.files_bucket import Bucket
    from millions.sdk.files_folder import Folder
    from millions.sdk.files_place import Held, StoredFile
    from millions.sdk.files_upload import Staged

ASKED_EVERY_S = 0.2


class Both:
    """The bucket, and the folder that was used before it."""

    def __init__(self, folder: Folder, bucket: Bucket) -> None:
        self.bucket = bucket
        self.folder = folder
        self._waiting: asyncio.Task[None] | None = None

    def await_bucket(self) -> None:
        """Write to the folder until the bucket has answered."""
        self._waiting = asyncio.create_task(self._ask(), name="millions files")

    async def close(self) -> None:
        """Begin nothing any more."""
        task, self._waiting = self._waiting, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def put(self, upload: Staged) -> StoredFile:
        """Store it in the bucket; while that has not answered yet, in the folder."""
        if self._is_early():
            return await self.folder.put(upload)
        about = await self.bucket.put(upload)
        await self.folder.delete(about.name)
        return about

    async def find(self, name: str) -> Held | None:
        """Say what is held as `name`, the newer version of two."""
        former = await self.folder.find(name)
        if former is not None and self._is_early():
            return former
        held = await self.bucket.find(name)
        if held is None or (former is not None and former.at_s > held.at_s):
            return former
        return held

    async def read(self, held: Held, span: tuple[int, int]) -> bytes:
        """Read where it was found."""
        return await held.place.read(held, span)

    async def delete(self, name: str) -> bool:
        """Delete both versions, the former one first: it must not come back for a moment."""
        was_former = await self.folder.delete(name)
        return await self.bucket.delete(name) or was_former

    def _is_early(self) -> bool:
        return self._waiting is not None and not self.bucket.servers.answered

    async def _ask(self) -> None:
        while not await self.bucket.servers.ask():  # noqa: ASYNC110  # somebody else's server says it
            await asyncio.sleep(ASKED_EVERY_S)
