"""The distributed form of `files`: a bucket of S3 storage, behind one address or several.

What is uploaded is first whole on this machine's disk, so that a client that breaks off leaves
nothing in the bucket, and an attempt that failed is made again elsewhere. What is known of a file
travels in its own metadata: one request stores both. It never makes a bucket.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

import obstore
import obstore.exceptions

from millions.errors import UnavailableError
from millions.sdk.files_place import Held, StoredFile
from millions.sdk.files_servers import NoBucketError
from millions.sdk.files_types import UNKNOWN
from millions.sdk.files_upload import MIB

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from typing import BinaryIO

    from obstore.store import S3Store

    from millions.sdk.files_servers import Servers
    from millions.sdk.files_upload import Staged

PART_BYTES = 5 * MIB
"""The least that S3 accepts as a part; larger files are sent in such parts."""

PARTS_AT_ONCE = 2
PREFIX = "data/"
LISTED = 500
"""Names at once."""

SMALL_BYTES = MIB
"""What is sent with the lesser patience."""


class Bucket:
    """The files of one bucket."""

    def __init__(self, servers: Servers) -> None:
        self.servers = servers

    async def put(self, upload: Staged, at_s: float | None = None) -> StoredFile:
        """Store it with what is known of it, as stored now or at `at_s`."""
        about = upload.about
        if upload.path is None:
            return await self._put(about, upload.content, at_s)
        with await asyncio.to_thread(upload.path.open, "rb") as file:
            return await self._put(about, file, at_s)

    async def find(self, name: str) -> Held | None:
        """Say what is held as `name`."""

        def find(store: S3Store) -> Held | None:
            return _find(store, name, self)

        return await self.servers.tried(f"read {name}", find, missing=None)

    async def read(self, held: Held, span: tuple[int, int]) -> bytes:
        """Answer a part of this version. Raise UnavailableError when there is another one now."""
        name = held.about.name
        asked: Any = {"range": span, "if_match": held.mark}

        def read(store: S3Store) -> bytes | None:
            return bytes(obstore.get(store, _key(name), options=asked).bytes())

        found = await self.servers.tried(f"read {name}", read, missing=None)
        if found is None:
            raise UnavailableError(
                cannot=f"go on reading {name}",
                because="it was replaced or deleted meanwhile",
                try_="read it again",
            )
        return found

    async def delete(self, name: str) -> bool:
        """Delete it. S3 does not say whether it was there, so that is asked before."""
        if await self.find(name) is None:
            return False

        def delete(store: S3Store) -> bool:
            obstore.delete(store, _key(name))
            return True

        return await self.servers.tried(f"delete {name}", delete, missing=False, writes=True)

    async def names(self) -> AsyncIterator[list[str]]:
        """Go through the names of all files, LISTED at once. Raise UnavailableError when it stops.

        One listing goes to one server from its beginning to its end: orders differ.
        """

        def begun(store: S3Store) -> tuple[Any, list[str]]:
            stream: Any = obstore.list(store, prefix=PREFIX, chunk_size=LISTED)  # pyright: ignore[reportUnknownMemberType]
            return stream, _names(stream)

        what = "list the files"
        nothing: tuple[Any, list[str]] = (None, [])
        stream, names = await self.servers.tried(what, begun, missing=nothing, patient=True)
        while names:
            yield names
            try:
                names = await asyncio.to_thread(_names, stream)
            except (OSError, obstore.exceptions.BaseError) as error:
                raise UnavailableError(
                    cannot=what, because=type(error).__name__, try_="millions status"
                ) from error

    async def _put(
        self, about: StoredFile, content: bytes | BinaryIO, at_s: float | None
    ) -> StoredFile:
        def put(store: S3Store) -> bool:
            _store(store, about, content, time.time() if at_s is None else at_s)
            return True

        large = about.size > SMALL_BYTES
        await self.servers.tried(
            f"store {about.name}", put, missing=False, patient=large, writes=True
        )
        return about


def _key(name: str) -> str:
    return f"{PREFIX}{name}"


def _names(stream: Any) -> list[str]:
    return [each["path"].removeprefix(PREFIX) for each in next(stream, ())]


def _store(store: S3Store, about: StoredFile, content: bytes | BinaryIO, at_s: float) -> None:
    told: Any = {
        "Content-Type": about.content_type,
        "millions-type": quote(about.content_type),
        "millions-etag": about.etag,
        "millions-at": f"{at_s:.6f}",
    }
    if not isinstance(content, bytes):
        content.seek(0)
    try:
        obstore.put(
            store,
            _key(about.name),
            content,
            attributes=told,
            use_multipart=about.size > PART_BYTES,
            chunk_size=PART_BYTES,
            max_concurrency=PARTS_AT_ONCE,
        )
    except FileNotFoundError as error:
        raise NoBucketError(str(error)) from error


def _find(store: S3Store, name: str, place: Bucket) -> Held:
    """Ask for its first byte, because a HEAD of obstore does not tell metadata."""
    found = obstore.get(store, _key(name), options={"range": (0, 1)})
    told: Any = {str(key).lower(): value for key, value in found.attributes.items()}
    meta = found.meta
    mark = meta["e_tag"] or ""
    about = StoredFile(
        name=name,
        size=meta["size"],
        content_type=unquote(told.get("millions-type", "")) or told.get("content-type", UNKNOWN),
        etag=told.get("millions-etag", "") or mark.strip('"'),
    )
    at_s = float(told.get("millions-at", 0)) or meta["last_modified"].timestamp()
    return Held(about=about, place=place, mark=mark, at_s=at_s)
