"""Deleting an account: at once for everybody's eyes, then for good, by tasks in small batches.

Each task does a batch and, while it found something, asks for the next one: whatever dies in
between, the erasure goes on, and no transaction is long.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import delete, select

from millions import db, log, sessions, store, tasks
from photos import accounts, comments, follows, library, likes
from photos.entries import feed_key
from photos.models import Comment, Credential, Follower, Following, Like, Photo, User

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from sqlalchemy import Select

BATCH = 50


async def delete_account(user_id: UUID) -> None:
    """Hide a person and all that is theirs, end their sessions, and have the rest erased."""
    async with db.write(user_id) as session:
        row = await session.get_one(User, user_id)
        row.deleted_at = datetime.now(UTC)
        await session.execute(delete(Credential).where(Credential.user_id == user_id))
        await erase.enqueue(user_id, row.handle, session=session)
        session.invalidates(f"person:{user_id}", "popular", "newest")
    await sessions.revoke_user(user_id)


@tasks.task(time_limit_s=120)
async def erase(user_id: UUID, handle: str) -> None:
    """Erase a batch of what is left of a person; the person's row goes last."""
    for step in (_photos, _comments, _likes, _following, _followers):
        if await step(user_id):
            await erase.enqueue(user_id, handle)
            return
    await store.delete(feed_key(user_id))
    async with db.write(user_id) as session:
        await session.execute(delete(User).where(User.id == user_id))
        session.invalidates(f"person:{user_id}")
    await accounts.free_handle(handle, user_id)
    log.info("account erased", user=str(user_id))


async def _photos(user_id: UUID) -> int:
    ids = await _own(user_id, select(Photo.id).where(Photo.owner_id == user_id))
    for photo_id in ids:
        await library.remove(user_id, photo_id)
    return len(ids)


async def _comments(user_id: UUID) -> int:
    statement = select(Comment.owner_id, Comment.photo_id, Comment.id).where(
        Comment.author_id == user_id
    )
    rows = await db.scatter(statement, limit=BATCH)
    for row in rows:
        await comments.remove((row.owner_id, row.photo_id), row.id, by=user_id)
    return len(rows)


async def _likes(user_id: UUID) -> int:
    statement = select(Like.owner_id, Like.photo_id).where(Like.user_id == user_id)
    rows = await db.scatter(statement, limit=BATCH)
    for row in rows:
        await likes.unlike((row.owner_id, row.photo_id), user_id)
    return len(rows)


async def _following(user_id: UUID) -> int:
    statement = select(Following.followed_id).where(
        Following.follower_id == user_id, Following.active
    )
    ids = await _own(user_id, statement)
    for followed_id in ids:
        await follows.unfollow(user_id, followed_id)
    return len(ids)


async def _followers(user_id: UUID) -> int:
    """Have each follower follow this person no more, on both sides."""
    statement = select(Follower.follower_id).where(Follower.user_id == user_id, Follower.active)
    ids = await _own(user_id, statement)
    for follower_id in ids:
        await follows.unfollow(follower_id, user_id)
        async with db.write(user_id) as session:
            row = await session.get(Follower, (user_id, follower_id))
            if row is not None:
                await session.delete(row)
    return len(ids)


async def _own(user_id: UUID, statement: Select[UUID]) -> Sequence[UUID]:
    async with db.write(user_id) as session:  # the primary: what is missed would stay for ever
        return list(await session.scalars(statement.limit(BATCH)))
