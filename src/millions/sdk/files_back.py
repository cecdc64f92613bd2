"""The way back from the bucket to the folder: both serve.

What is new goes to the folder, what is not there is looked for in the bucket, a deletion deletes
both. Beside that, what is in the bucket is copied to the folder (`files_moving.py`), where nothing
is older than in the bucket then. It writes nothing to the bucket.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from millions.sdk.files_bucket import Bucket
    from millions.sdk.files_folder import Folder
    from millions.sdk.files_place import Held, StoredFile
    from millions.sdk.files_upload import Staged


class Back:
    """The folder, and the bucket that was used before it."""

    def __init__(self, folder: Folder, bucket: Bucket) -> None:
        self.bucket = bucket
        self.folder = folder

    async def close(self) -> None:
        """Nothing runs here."""

    async def put(self, upload: Staged) -> StoredFile:
        """Store it in the folder."""
        return await self.folder.put(upload)

    async def find(self, name: str) -> Held | None:
        """Say what is held as `name`."""
        held = await self.folder.find(name)
        return held if held is not None else await self.bucket.find(name)

    async def read(self, held: Held, span: tuple[int, int]) -> bytes:
        """Read where it was found."""
        return await held.place.read(held, span)

    async def delete(self, name: str) -> bool:
        """Delete both, the bucket's first: it must not come back for a moment."""
        was_former = await self.bucket.delete(name)
        return await self.folder.delete(name) or was_former
