"""Follows: kept by the follower at once, and by the followed a moment later through a task.

The follower's row is the truth. It is never deleted: each change of mind raises its version, so
that the task of an older change, arriving late, changes nothing at the other side.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert

from millions import db, tasks
from photos import spreading
from photos.models import Follower, Following, User
from photos.settings import CELEBRITY_FOLLOWERS, MAX_FOLLOWING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from millions import Session


class TooManyError(ValueError):
    """Somebody follows MAX_FOLLOWING people already."""


async def follow(follower_id: UUID, followed_id: UUID) -> None:
    """Follow somebody; a second time changes nothing. Raise TooManyError."""
    await _decide(follower_id, followed_id, active=True)


async def unfollow(follower_id: UUID, followed_id: UUID) -> None:
    """Follow somebody no more; a second time changes nothing."""
    await _decide(follower_id, followed_id, active=False)


async def _decide(follower_id: UUID, followed_id: UUID, *, active: bool) -> None:
    if follower_id == followed_id:
        return
    async with db.write(follower_id) as session:
        count = await session.scalar(
            select(User.following).where(User.id == follower_id).with_for_update(key_share=True)
        )
        if count is None:
            return
        if active and count >= MAX_FOLLOWING:
            raise TooManyError(followed_id)
        row = await session.get(Following, (follower_id, followed_id))
        if active is (row is not None and row.active):
            return
        if row is None:
            row = Following(follower_id=follower_id, followed_id=followed_id, version=0)
            session.add(row)
        row.active, row.version, row.changed_at = active, row.version + 1, datetime.now(UTC)
        await session.execute(
            update(User)
            .where(User.id == follower_id)
            .values(following=User.following + (1 if active else -1))
        )
        await mirror.enqueue(follower_id, followed_id, row.version, active, session=session)
        await spreading.settle.enqueue(follower_id, followed_id, session=session)
        session.invalidates(f"person:{follower_id}")


@tasks.task()
async def mirror(follower_id: UUID, followed_id: UUID, version: int, active: bool) -> None:  # noqa: FBT001
    """Keep a follow at the side of who is followed, unless a newer change is there already."""

    async def keep(session: Session) -> None:
        person = await session.get(User, followed_id, with_for_update={"key_share": True})
        if person is None:
            return
        row = await session.get(Follower, (followed_id, follower_id))
        was_active = row is not None and row.active
        if row is not None and row.version >= version:
            return
        values = {"active": active, "version": version, "changed_at": datetime.now(UTC)}
        statement = insert(Follower).values(user_id=followed_id, follower_id=follower_id, **values)
        await session.execute(
            statement.on_conflict_do_update(index_elements=["user_id", "follower_id"], set_=values)
        )
        person.followers += int(active) - int(was_active)
        if person.followers >= CELEBRITY_FOLLOWERS and person.celebrity_since is None:
            person.celebrity_since = datetime.now(UTC)
            session.invalidates("celebrities")
        session.invalidates(f"person:{followed_id}")

    await db.run(followed_id, keep)


async def followed(follower_id: UUID, among: Sequence[UUID]) -> frozenset[UUID]:
    """Those of `among` whom somebody follows."""
    if not among:
        return frozenset()
    statement = select(Following.followed_id).where(
        Following.follower_id == follower_id, Following.followed_id.in_(among), Following.active
    )
    async with db.read(follower_id) as session:
        return frozenset(await session.scalars(statement))


async def followers_of(user_id: UUID, *, after: UUID | None, limit: int) -> Sequence[UUID]:
    """Who follows a person, in the order of their ids (the oldest accounts first)."""
    statement = select(Follower.follower_id).where(Follower.user_id == user_id, Follower.active)
    if after is not None:
        statement = statement.where(Follower.follower_id > after)
    async with db.read(user_id) as session:
        return list(await session.scalars(statement.order_by(Follower.follower_id).limit(limit)))


async def followed_by(user_id: UUID, *, after: UUID | None, limit: int) -> Sequence[UUID]:
    """Whom a person follows, in the order of their ids (the oldest accounts first)."""
    statement = select(Following.followed_id).where(
        Following.follower_id == user_id, Following.active
    )
    if after is not None:
        statement = statement.where(Following.followed_id > after)
    async with db.read(user_id) as session:
        return list(await session.scalars(statement.order_by(Following.followed_id).limit(limit)))
