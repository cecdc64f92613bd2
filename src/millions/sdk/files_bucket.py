"""The distributed form of `files`: a bucket of S3 storage, behind one address or several.

What is uploaded is first whole on this machine's disk, so that a client that breaks off leaves
nothing in the bucket, and an attempt that failed is made again elsewhere. What is known of a file
travels in its own metadata: one request stores both. It never lists and never makes a bucket.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

import obstore

from millions.errors import UnavailableError
from millions.sdk.files_folder import no_room
from millions.sdk.files_place import Held, StoredFile
from millions.sdk.files_servers import NoBucketError
from millions.sdk.files_types import UNKNOWN
from millions.sdk.files_upload import MIB, spooled

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

    from obstore.store import S3Store

    from millions.sdk.files_servers import Servers
    from millions.sdk.files_upload import Upload

PART_BYTES = 5 * MIB
"""The least that S3 accepts as a part; larger files are sent in such parts."""

PARTS_AT_ONCE = 2
SMALL_BYTES = MIB
"""What is sent with the lesser patience."""


class Bucket:
    """The files of one bucket. Uploads that are not whole yet grow in a folder, `staging`."""

    def __init__(self, servers: Servers, staging: Path) -> None:
        self.servers = servers
        self._staging = staging

    async def put(self, source: Upload, first: bytes, content_type: str) -> StoredFile:
        """Take all of it, then store it with what is known of it."""
        if source.ended:
            return await self._put(source, content_type, first)
        try:
            file = await spooled(source, first, self._staging)
        except TimeoutError:
            raise  # the client went away
        except OSError as error:
            if error is source.error:
                raise
            raise no_room(source.name, error) from error
        with file:
            return await self._put(source, content_type, file)

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

        return await self.servers.tried(f"delete {name}", delete, missing=False)

    async def _put(
        self, source: Upload, content_type: str, content: bytes | BinaryIO
    ) -> StoredFile:
        about = StoredFile(
            name=source.name, size=source.size, content_type=content_type, etag=source.etag()
        )

        def put(store: S3Store) -> bool:
            _store(store, about, content)
            return True

        large = source.size > SMALL_BYTES
        await self.servers.tried(f"store {source.name}", put, missing=False, patient=large)
        return about


def _key(name: str) -> str:
    return f"data/{name}"


def _store(store: S3Store, about: StoredFile, content: bytes | BinaryIO) -> None:
    told: Any = {
        "Content-Type": about.content_type,
        "millions-type": quote(about.content_type),
        "millions-etag": about.etag,
        "millions-at": f"{time.time():.6f}",
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
