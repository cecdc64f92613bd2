"""Comments: words under a photo, kept with the photo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import delete, select, update

from millions import db, uuid7
from photos import people
from photos.models import Comment, Photo

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from photos.likes import Reference

LONGEST = 1000
SHOWN = 100
"""The newest so many are shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A comment with its author."""

    id: UUID
    author: people.Person
    text: str
    at: datetime


async def add(photo: Reference, author_id: UUID, text: str) -> UUID | None:
    """Say something under a photo; None when there is no such photo."""
    owner_id, photo_id = photo
    comment_id = uuid7()
    async with db.write(owner_id) as session:
        count = update(Photo).where(Photo.owner_id == owner_id, Photo.id == photo_id)
        counted = count.values(comments=Photo.comments + 1).returning(Photo.id)
        if await session.scalar(counted) is None:
            return None
        session.add(
            Comment(
                owner_id=owner_id, photo_id=photo_id, id=comment_id, author_id=author_id, text=text
            )
        )
        session.invalidates(f"photo:{owner_id}:{photo_id}")
    return comment_id


async def remove(photo: Reference, comment_id: UUID, *, by: UUID) -> bool:
    """Delete a comment, as its author or as the photo's owner; False when that may not be."""
    owner_id, photo_id = photo
    this = (
        Comment.owner_id == owner_id,
        Comment.photo_id == photo_id,
        Comment.id == comment_id,
    )
    async with db.write(owner_id) as session:
        gone = delete(Comment).where(*this)
        if by != owner_id:
            gone = gone.where(Comment.author_id == by)
        if await session.scalar(gone.returning(Comment.id)) is None:
            return False
        count = update(Photo).where(Photo.owner_id == owner_id, Photo.id == photo_id)
        await session.execute(count.values(comments=Photo.comments - 1))
        session.invalidates(f"photo:{owner_id}:{photo_id}")
    return True


async def of(photo: Reference) -> Sequence[Said]:
    """The newest comments, oldest of them first, as one reads them."""
    owner_id, photo_id = photo
    statement = (
        select(Comment)
        .where(Comment.owner_id == owner_id, Comment.photo_id == photo_id)
        .order_by(Comment.id.desc())
        .limit(SHOWN)
    )
    async with db.read(owner_id) as session:
        rows = list(await session.scalars(statement))
    authors = await people.many(row.author_id for row in rows)
    return [
        Said(id=row.id, author=authors[row.author_id], text=row.text, at=row.at)
        for row in reversed(rows)
        if row.author_id in authors
    ]
