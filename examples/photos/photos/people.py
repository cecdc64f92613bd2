"""People: who somebody is, found by id, by handle, or by a word of their name."""

from __future__ import annotations

import asyncio
import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, func, select, text

from millions import cache, db
from photos.models import Handle, User

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

SEARCH_WORDS = 5
SEARCH_RESULTS = 40
POPULAR = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A person as everybody sees them."""

    id: UUID
    handle: str
    name: str
    bio: str
    photos: int
    followers: int
    following: int


def names(people: Iterable[Person]) -> list[str]:
    """What people are called where transactions invalidate them."""
    return [f"person:{each.id}" for each in people]


@cache.through(ttl_s=300, key="person:{user_id}")
async def person(user_id: UUID) -> Person | None:
    """The person with this id; None when there is none, or not any more."""
    async with db.read(user_id) as session:
        row = await session.get(User, user_id)
        if row is None or row.deleted_at is not None:
            return None
        return Person(
            id=row.id,
            handle=row.handle,
            name=row.name,
            bio=row.bio,
            photos=row.photos,
            followers=row.followers,
            following=row.following,
        )


@cache.through(ttl_s=3600, key="handle:{handle}")
async def id_of(handle: str) -> UUID | None:
    """Whose handle this is."""
    async with db.read(handle) as session:
        return await session.scalar(select(Handle.user_id).where(Handle.handle == handle))


async def by_handle(handle: str) -> Person | None:
    """The person with this handle, however it is written."""
    user_id = await id_of(handle.lower())
    return None if user_id is None else await person(user_id)


async def many(ids: Iterable[UUID]) -> dict[UUID, Person]:
    """Everyone of `ids` who is still there."""
    wanted = list(dict.fromkeys(ids))
    found = await asyncio.gather(*(person(each) for each in wanted))
    return {each.id: each for each in found if each is not None}


async def change(user_id: UUID, *, name: str, bio: str) -> None:
    """Change what others see of a person."""
    async with db.write(user_id) as session:
        row = await session.get_one(User, user_id)
        row.name, row.bio, row.words = name, bio, words(f"{name} {row.handle}")
        session.invalidates(f"person:{user_id}")


async def search(query: str) -> list[Person]:
    """People of whom every word of `query` begins a word of their name or handle."""
    wanted = words(query).split()[:SEARCH_WORDS]
    if not wanted:
        return []
    vector = func.to_tsvector(text("'simple'"), User.words)
    matching = vector.op("@@")(
        func.to_tsquery(text("'simple'"), " & ".join(f"{each}:*" for each in wanted))
    )
    return await _most_followed(matching, limit=SEARCH_RESULTS)


@cache.through(ttl_s=30, stale_s=300, key="popular")
async def _popular() -> tuple[UUID, ...]:
    return tuple(each.id for each in await _most_followed(User.photos > 0, limit=POPULAR))


async def popular() -> list[Person]:
    """Those whom most people follow, with a picture to show."""
    return list((await many(await _popular())).values())


async def _most_followed(condition: ColumnElement[bool], *, limit: int) -> list[Person]:
    """Ask every shard for the best of its own, and keep the best of all."""
    statement = select(User.id).where(condition, User.deleted_at.is_(None))
    order = (User.followers.desc(), User.id)
    rows = await db.scatter(statement, order_by=order, limit=limit)
    found = await many(row.id for row in rows)
    return [found[row.id] for row in rows if row.id in found]


def words(text_: str) -> str:
    """`text_` as search sees it: small letters and digits without accents, one space apart."""
    plain = unicodedata.normalize("NFKD", text_)
    plain = "".join(each for each in plain if not unicodedata.combining(each))
    return " ".join(re.findall(r"[^\W_]+", plain.casefold()))[:200]
