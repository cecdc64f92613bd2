"""Copies one file from the folder to the bucket, or back, and proves it by reading it again.

Who calls holds the file's name alone (`files_guard.py`). The time at which it was stored goes with
it, and of two versions the newer one stays. From the folder a file is removed once the bucket has
given out the same bytes; from the bucket nothing is.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING
from uuid import uuid4

from millions.errors import UnavailableError
from millions.sdk.files_upload import CHUNK_BYTES, Staged

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

    from millions.sdk.files_bucket import Bucket
    from millions.sdk.files_folder import Folder
    from millions.sdk.files_place import Held

EXACT_S = 1e-5
"""What a time may lose on its way through the bucket's metadata, which has microseconds."""


async def to_bucket(folder: Folder, bucket: Bucket, name: str) -> None:
    """Move `name` to the bucket. Raise MillionsError or OSError when that is not proven."""
    former = await folder.find(name)
    if former is None:
        return
    held = await bucket.find(name)
    if held is None or held.at_s <= former.at_s + EXACT_S:
        staged = Staged(about=former.about, path=folder.path_of(name))
        await bucket.put(staged, former.at_s)
        held = await bucket.find(name)
        there = held is not None and held.about == former.about
        if held is None or not there or await _digest(held) != await _digest(former):
            raise _different(name)
    await folder.let_go(name)


async def to_folder(folder: Folder, bucket: Bucket, name: str) -> None:
    """Copy `name` to the folder. Raise MillionsError or OSError when that is not proven."""
    held = await bucket.find(name)
    if held is None:
        return
    former = await folder.find(name)
    if former is not None and former.at_s > held.at_s + EXACT_S:
        return
    path = folder.staging() / uuid4().hex
    try:
        digest = await _fetched(held, path)
        if digest[:32] != held.about.etag and await _digest(held) != digest:
            raise _different(name)
        await folder.take_back(Staged(about=held.about, path=path), held.at_s)
    finally:
        await asyncio.to_thread(path.unlink, missing_ok=True)
    found = await folder.find(name)
    if found is None or found.about != held.about or await _digest(found) != digest:
        raise _different(name)


async def _fetched(held: Held, path: Path) -> str:
    """Write it to `path`; answer the digest of what was read."""
    await asyncio.to_thread(path.parent.mkdir, parents=True, exist_ok=True)
    with await asyncio.to_thread(path.open, "xb") as file:
        return await _digest(held, file)


async def _digest(held: Held, file: BinaryIO | None = None) -> str:
    """Read all of it from where it is, a megabyte at once."""
    digest, start, size = hashlib.sha256(), 0, held.about.size
    while start < size:
        chunk = await held.place.read(held, (start, min(size, start + CHUNK_BYTES)))
        if not chunk:
            break
        digest.update(chunk)
        start += len(chunk)
        if file is not None:
            await asyncio.to_thread(file.write, chunk)
    return digest.hexdigest()


def _different(name: str) -> UnavailableError:
    return UnavailableError(
        cannot=f"move {name}",
        because="what was read back is not what was stored",
        try_="millions logs web.1; it is tried again by itself",
    )
