"""Photos that are there: showing one, listing them, and throwing one away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import Update, delete, select, update

from millions import cache, db, files, store, tasks
from photos import pictures
from photos.models import Photo, User

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

RECENT = 48
"""How many newest photos of a person are kept at hand: for feeds, and for "more from"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A photo as it is shown, whoever looks."""

    id: UUID
    owner_id: UUID
    caption: str
    width: int
    height: int
    colour: str
    ready: bool
    likes: int
    comments: int
    at: datetime


def file_name(owner_id: UUID, photo_id: UUID, size: str) -> str:
    """Where the file of one size lies; the size "upload" is what came in."""
    return (
        f"photos/{owner_id}/{photo_id}/{size}.jpg"
        if size in pictures.SIZES
        else (f"uploads/{owner_id}/{photo_id}")
    )


@tasks.task()
async def discard(owner_id: UUID, photo_id: UUID, sizes: list[str]) -> None:
    """Delete files of a photo that nobody needs any more."""
    for size in sizes:
        await files.delete(file_name(owner_id, photo_id, size))


async def remove(owner_id: UUID, photo_id: UUID) -> bool:
    """Delete a photo with its likes, comments and files; False when it was gone already."""
    async with db.write(owner_id) as session:
        gone = delete(Photo).where(Photo.owner_id == owner_id, Photo.id == photo_id)
        if await session.scalar(gone.returning(Photo.id)) is None:
            return False
        await session.execute(count(owner_id, -1))
        await discard.enqueue(owner_id, photo_id, ["upload", *pictures.SIZES], session=session)
        session.invalidates(
            f"photo:{owner_id}:{photo_id}", f"person:{owner_id}", f"recent:{owner_id}", "newest"
        )
    await store.delete(f"views:{photo_id}")
    return True


@cache.through(ttl_s=600, key="photo:{owner_id}:{photo_id}")
async def photo(owner_id: UUID, photo_id: UUID) -> Shown | None:
    """A photo, ready or not; None when there is none."""
    async with db.read(owner_id) as session:
        row = await session.get(Photo, (owner_id, photo_id))
        return None if row is None else shown(row)


async def of(owner_id: UUID, *, before: UUID | None = None, limit: int) -> Sequence[Shown]:
    """A person's photos, newest first, from the one before `before` on."""
    statement = select(Photo).where(Photo.owner_id == owner_id)
    if before is not None:
        statement = statement.where(Photo.id < before)
    async with db.read(owner_id) as session:
        rows = await session.scalars(statement.order_by(Photo.id.desc()).limit(limit))
        return [shown(row) for row in rows]


@cache.through(ttl_s=600, key="recent:{owner_id}")
async def recent(owner_id: UUID) -> tuple[UUID, ...]:
    """The ids of a person's newest RECENT photos that are ready, newest first."""
    statement = select(Photo.id).where(Photo.owner_id == owner_id, Photo.ready_at.is_not(None))
    async with db.read(owner_id) as session:
        return tuple(await session.scalars(statement.order_by(Photo.id.desc()).limit(RECENT)))


async def newest(*, before: UUID | None, limit: int) -> Sequence[tuple[UUID, UUID]]:
    """(owner, photo) of the newest photos of all, asked of every shard."""
    if before is None:
        return (await _newest())[:limit]
    return await _scatter_newest(before, limit)


@cache.through(ttl_s=5, stale_s=60, key="newest")
async def _newest() -> tuple[tuple[UUID, UUID], ...]:
    return tuple(await _scatter_newest(None, RECENT))


async def _scatter_newest(before: UUID | None, limit: int) -> Sequence[tuple[UUID, UUID]]:
    statement = select(Photo.owner_id, Photo.id).where(Photo.ready_at.is_not(None))
    if before is not None:
        statement = statement.where(Photo.id < before)
    rows = await db.scatter(statement, order_by=Photo.id.desc(), limit=limit)
    return [(row.owner_id, row.id) for row in rows]


def shown(row: Photo) -> Shown:
    """A row as plain data, which may be cached and shared."""
    return Shown(
        id=row.id,
        owner_id=row.owner_id,
        caption=row.caption,
        width=row.width,
        height=row.height,
        colour=row.colour,
        ready=row.ready_at is not None,
        likes=row.likes,
        comments=row.comments,
        at=row.created_at,
    )


async def of_primary(owner_id: UUID, photo_id: UUID) -> Shown | None:
    """A photo as it stands: for decisions, which a replica or a cache must not make."""
    async with db.write(owner_id) as session:
        row = await session.get(Photo, (owner_id, photo_id))
        return None if row is None else shown(row)


def count(owner_id: UUID, by: int) -> Update:
    """The statement that keeps the number of a person's photos."""
    return update(User).where(User.id == owner_id).values(photos=User.photos + by)
