"""Taking a picture in, and developing its sizes in a task.

An upload is stored as it came, out of anybody's reach, only until its sizes are made: what is
served was decoded and encoded anew, so that it carries neither a place nor a camera.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy import update

from millions import db, files, log, metrics, tasks, uuid7
from millions.errors import FileRefusedError
from photos import library, pictures, spreading
from photos.models import Photo

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

T = TypeVar("T")

DEVELOP_LIMIT_S = 120

AT_ONCE = 2
"""Decoded, a picture of MAX_PIXELS takes 150 MB: this bounds how many are at a time."""

_lookers = ThreadPoolExecutor(max_workers=AT_ONCE, thread_name_prefix="look")
_developers = ThreadPoolExecutor(max_workers=AT_ONCE, thread_name_prefix="develop")

published = metrics.counter("photos_published", "Pictures that people shared.")


async def publish(
    owner_id: UUID, content: bytes, caption: str, photo_id: UUID | None = None
) -> UUID:
    """Take in a picture. Raise RefusedPictureError when it is none."""
    inspected = await _in(_lookers, pictures.inspect, content)
    photo_id = photo_id or uuid7()
    upload = library.file_name(owner_id, photo_id, "upload")
    await _keep(upload, content)
    try:
        async with db.write(owner_id) as session:
            session.add(
                Photo(
                    owner_id=owner_id,
                    id=photo_id,
                    caption=caption,
                    width=inspected.width,
                    height=inspected.height,
                    colour=inspected.colour,
                    created_at=datetime.fromtimestamp((photo_id.int >> 80) / 1000, tz=UTC),
                )
            )
            await session.execute(library.count(owner_id, 1))
            await develop.enqueue(owner_id, photo_id, session=session)
            session.invalidates(f"photo:{owner_id}:{photo_id}", f"person:{owner_id}")
    except Exception:
        await files.delete(upload)
        raise
    published.inc()
    return photo_id


async def _in(threads: ThreadPoolExecutor, deed: Callable[[bytes], T], content: bytes) -> T:
    return await asyncio.get_running_loop().run_in_executor(threads, deed, content)


async def _keep(name: str, content: bytes) -> None:
    """Store an upload. Raise RefusedPictureError when the stack allows less than we do."""
    try:
        await files.put(name, content, accept=pictures.ACCEPT, max_mib=pictures.MAX_UPLOAD_MIB)
    except FileRefusedError as error:
        raise pictures.RefusedPictureError(f"This file is not taken: {error.because}.") from error


@tasks.task(time_limit_s=DEVELOP_LIMIT_S, queue="pictures")
async def develop(owner_id: UUID, photo_id: UUID) -> None:
    """Make the sizes of an upload, then show it to others. May run twice to the same effect."""
    found = await library.of_primary(owner_id, photo_id)
    if found is None or found.ready:
        return
    content = await files.read(library.file_name(owner_id, photo_id, "upload"))
    try:
        sizes = await _in(_developers, pictures.render, content)
    except pictures.RefusedPictureError as error:
        log.warning("picture refused after upload", photo=str(photo_id), because=str(error))
        await library.remove(owner_id, photo_id)
        return
    for size, data in sizes.items():
        await files.put(library.file_name(owner_id, photo_id, size), data, accept=("image/jpeg",))
    async with db.write(owner_id) as session:
        mark = update(Photo).where(Photo.owner_id == owner_id, Photo.id == photo_id)
        mark = mark.values(ready_at=datetime.now(UTC)).returning(Photo.id)
        gone = await session.scalar(mark) is None
        if not gone:
            await spreading.spread.enqueue(owner_id, photo_id, session=session)
        await library.discard.enqueue(
            owner_id, photo_id, ["upload", *(sizes if gone else ())], session=session
        )
        session.invalidates(f"photo:{owner_id}:{photo_id}", f"recent:{owner_id}", "newest")
