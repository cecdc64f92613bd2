"""The feed: what those one follows have shared, newest first.

Most of it was written into one sorted list by `spreading`. Pictures of celebrities were not: each
reader merges them in. What a reader does not follow any more is left out when reading.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from millions import cache, db
from photos import follows, library
from photos.entries import Entry, entry, feed_of
from photos.models import User

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

ROUNDS = 4
"""How often more entries are fetched when many of them turn out to be gone."""


async def read(user_id: UUID, *, before: Entry | None, limit: int) -> Sequence[Entry]:
    """One page of a feed: what comes after the entry `before`, or the newest."""
    page: list[Entry] = []
    pulled = await _pulled(user_id)
    for _ in range(ROUNDS):
        written = await _written(user_id, before=before, limit=limit)
        candidates = _merged(written, pulled, before=before)[:limit]
        page += await _followed_only(user_id, candidates)
        if len(candidates) < limit or len(page) >= limit:
            break
        before = candidates[-1]
    return page[:limit]


def cursor(text: str) -> Entry | None:
    """Where a page begins, from an address; None for the newest, also when it makes no sense."""
    try:
        return entry(text) if text else None
    except ValueError:
        return None


@cache.through(ttl_s=60, key="celebrities")
async def celebrities() -> frozenset[UUID]:
    """Everyone whose pictures are merged in when reading."""
    statement = select(User.id).where(User.celebrity_since.is_not(None))
    return frozenset(row.id for row in await db.scatter(statement))


async def _written(user_id: UUID, *, before: Entry | None, limit: int) -> Sequence[Entry]:
    scored = await feed_of(user_id).range(limit, before=before.scored if before else None)
    return [entry(each.member) for each in scored]


async def _pulled(user_id: UUID) -> Sequence[Entry]:
    """The recent photos of the celebrities whom this user follows."""
    famous = await follows.followed(user_id, list(await celebrities()))
    return [
        Entry(owner_id=owner_id, photo_id=photo_id)
        for owner_id in famous
        for photo_id in await library.recent(owner_id)
    ]


def _merged(
    written: Iterable[Entry], pulled: Iterable[Entry], *, before: Entry | None
) -> list[Entry]:
    """Both kinds, each entry once, newest first."""
    fresh = (each for each in pulled if before is None or each.place < before.place)
    return sorted({*written, *fresh}, key=lambda each: each.place, reverse=True)


async def _followed_only(user_id: UUID, entries: Sequence[Entry]) -> list[Entry]:
    owners = list({each.owner_id for each in entries})
    known = await follows.followed(user_id, owners) | {user_id}
    return [each for each in entries if each.owner_id in known]
