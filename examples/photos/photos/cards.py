"""Cards: photos with everything that a page or the API shows of them, for who looks at them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from millions import files
from photos import library, likes, people

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from uuid import UUID

URL_EXPIRES_S = 24 * 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A photo, its owner, where its files are, and whether the one who looks likes it."""

    id: UUID
    owner: people.Person
    caption: str
    width: int
    height: int
    colour: str
    ready: bool
    small_url: str
    large_url: str
    likes: int
    comments: int
    liked: bool
    at: datetime
    url: str
    api_url: str


def names(cards: Iterable[Card]) -> list[str]:
    """What cards show, as it is called where transactions invalidate it."""
    shown = list(cards)
    photos = [f"photo:{each.owner.id}:{each.id}" for each in shown]
    return photos + people.names(each.owner for each in shown)


async def of(viewer: UUID | None, photos: Iterable[likes.Reference]) -> list[Card]:
    """Cards of photos by owner and id, in their order; those that are gone are left out."""
    found = await asyncio.gather(*(library.photo(*each) for each in photos))
    return await of_shown(viewer, [each for each in found if each is not None])


async def one(viewer: UUID | None, owner_id: UUID, photo_id: UUID) -> Card | None:
    """The card of one photo."""
    found = await of(viewer, [(owner_id, photo_id)])
    return found[0] if found else None


async def of_shown(viewer: UUID | None, photos: Sequence[library.Shown]) -> list[Card]:
    """Cards of photos that were read already."""
    owners = await people.many(each.owner_id for each in photos)
    liked = await _liked(viewer, photos)
    return [
        _card(each, owners[each.owner_id], liked=each.id in liked)
        for each in photos
        if each.owner_id in owners
    ]


async def _liked(viewer: UUID | None, photos: Sequence[library.Shown]) -> frozenset[UUID]:
    if viewer is None:
        return frozenset()
    return await likes.liked(viewer, [(each.owner_id, each.id) for each in photos if each.likes])


def _card(photo: library.Shown, owner: people.Person, *, liked: bool) -> Card:
    return Card(
        id=photo.id,
        owner=owner,
        caption=photo.caption,
        width=photo.width,
        height=photo.height,
        colour=photo.colour,
        ready=photo.ready,
        small_url=_url(photo, "small"),
        large_url=_url(photo, "large"),
        likes=photo.likes,
        comments=photo.comments,
        liked=liked,
        at=photo.at,
        url=f"/@{owner.handle}/{photo.id}",
        api_url=f"/api/photos/{owner.id}/{photo.id}",
    )


def _url(photo: library.Shown, size: str) -> str:
    if not photo.ready:
        return ""
    return files.url(library.file_name(photo.owner_id, photo.id, size), expires_s=URL_EXPIRES_S)
