"""Likes: there once or not at all, with a count that is exact because it changes with the row."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import UpdateBase, delete, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert

from millions import db
from photos.models import Like, Photo

if TYPE_CHECKING:
    from collections.abc import Sequence

Reference = tuple[UUID, UUID]
"""A photo by its owner's id and its own."""


async def like(photo: Reference, user_id: UUID) -> bool:
    """Like a photo; liking it again changes nothing. False when there is no such photo."""
    return await _change(photo, user_id, likes=True)


async def unlike(photo: Reference, user_id: UUID) -> bool:
    """Take a like back; a second time changes nothing. False when there is no such photo."""
    return await _change(photo, user_id, likes=False)


async def _change(photo: Reference, user_id: UUID, *, likes: bool) -> bool:
    owner_id, photo_id = photo
    async with db.write(owner_id) as session:
        this = (Photo.owner_id == owner_id, Photo.id == photo_id)
        row = await session.scalar(select(Photo.id).where(*this).with_for_update(key_share=True))
        if row is None:
            return False
        changed = _insertion(photo, user_id) if likes else _deletion(photo, user_id)
        if await session.scalar(changed) is not None:
            count = update(Photo).where(*this)
            await session.execute(count.values(likes=Photo.likes + (1 if likes else -1)))
            session.invalidates(f"photo:{owner_id}:{photo_id}")
    return True


def _insertion(photo: Reference, user_id: UUID) -> UpdateBase:
    """Answers a row when there was none."""
    values = {"owner_id": photo[0], "photo_id": photo[1], "user_id": user_id}
    return insert(Like).values(values).on_conflict_do_nothing().returning(Like.user_id)


def _deletion(photo: Reference, user_id: UUID) -> UpdateBase:
    """Answers a row when there was one."""
    this = (Like.owner_id == photo[0], Like.photo_id == photo[1], Like.user_id == user_id)
    return delete(Like).where(*this).returning(Like.user_id)


async def liked(user_id: UUID, photos: Sequence[Reference]) -> frozenset[UUID]:
    """The ids of those of `photos` that this user likes."""
    if not photos:
        return frozenset()
    if len({owner for owner, _ in photos}) == 1:
        return await _liked_of_one(user_id, photos)
    statement = select(Like.photo_id).where(
        tuple_(Like.owner_id, Like.photo_id).in_(photos), Like.user_id == user_id
    )
    return frozenset(row.photo_id for row in await db.scatter(statement, limit=len(photos)))


async def _liked_of_one(user_id: UUID, photos: Sequence[Reference]) -> frozenset[UUID]:
    """All of one owner: one shard is asked, which has seen what this user did before."""
    owner_id = photos[0][0]
    statement = select(Like.photo_id).where(
        Like.owner_id == owner_id,
        Like.photo_id.in_([photo_id for _, photo_id in photos]),
        Like.user_id == user_id,
    )
    async with db.read(owner_id) as session:
        return frozenset(await session.scalars(statement))
