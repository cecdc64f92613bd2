"""Writing to feeds, in tasks: new pictures to those of followers, older ones after a follow."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import func, select

from millions import db, store, tasks
from photos import library
from photos.entries import KEPT, Entry, entry, feed_key, feed_of
from photos.models import Follower, Following, Photo, User
from photos.settings import SPREAD_BATCH

ALL = UUID(int=(1 << 128) - 1)
"""Larger than every id."""


@tasks.task()
async def spread(owner_id: UUID, photo_id: UUID) -> None:
    """Cut the followers into batches, and have one task for each write to their feeds."""
    this = Entry(owner_id=owner_id, photo_id=photo_id)
    await feed_of(owner_id).add(this.member, this.score)
    async with db.write(owner_id) as session:
        owner = await session.get(User, owner_id)
        if owner is None or owner.celebrity_since is not None:
            return
        numbered = (
            select(
                Follower.follower_id,
                func.row_number().over(order_by=Follower.follower_id).label("number"),
            )
            .where(Follower.user_id == owner_id, Follower.active)
            .subquery()
        )
        firsts = select(numbered.c.follower_id).where((numbered.c.number - 1) % SPREAD_BATCH == 0)
        starts = list(await session.scalars(firsts.order_by(numbered.c.follower_id)))
        ends = [*starts[1:], ALL]
        batches = [(owner_id, photo_id, *each) for each in zip(starts, ends, strict=False)]
        if batches:
            await tasks.enqueue_many(spread_batch, batches, session=session)


@tasks.task()
async def spread_batch(owner_id: UUID, photo_id: UUID, start: UUID, end: UUID) -> None:
    """Write a photo to the feeds of the followers whose ids are from `start` to before `end`."""
    this = Entry(owner_id=owner_id, photo_id=photo_id)
    statement = select(Follower.follower_id).where(
        Follower.user_id == owner_id,
        Follower.active,
        Follower.follower_id >= start,
        Follower.follower_id < end,
    )
    async with db.write(owner_id) as session:
        if await session.get(Photo, (owner_id, photo_id)) is None:
            return
        followers = list(await session.scalars(statement))
    await store.add_to_many(map(feed_key, followers), this.member, this.score, keep=KEPT)


@tasks.task()
async def settle(follower_id: UUID, followed_id: UUID) -> None:
    """After a follow, put what was shared before into the feed; after an unfollow, take it out."""
    shared = await library.recent(followed_id)
    if not shared:
        return
    mine = feed_of(follower_id)
    entries = [Entry(owner_id=followed_id, photo_id=each) for each in shared]
    if await _follows(follower_id, followed_id):
        await mine.add_many([each.scored for each in entries])
        return
    kept = [scored.member for scored in await mine.range(KEPT)]
    gone = [member for member in kept if entry(member).owner_id == followed_id]
    if gone:
        await mine.remove(*gone)


async def _follows(follower_id: UUID, followed_id: UUID) -> bool:
    """Whether one follows the other at this moment, said by the primary."""
    async with db.write(follower_id) as session:
        row = await session.get(Following, (follower_id, followed_id))
        return row is not None and row.active
