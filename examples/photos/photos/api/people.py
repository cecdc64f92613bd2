"""People and follows, for programs."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, HTTPException, Query

from photos import cards, follows, library, people
from photos.api.shapes import Person, Photos, Profile
from photos.pages.profiles import follows_person, person_or_404
from photos.pages.rendering import Member, Viewer
from photos.settings import GRID, MAX_FOLLOWING

router = APIRouter(prefix="/api/people", tags=["people"])


@router.get("")
async def search(q: Annotated[str, Query(max_length=60)]) -> list[Person]:
    """Find people: every word of `q` begins a word of their name or handle."""
    return [Person.of(each) for each in await people.search(q)]


@router.get("/{handle}")
async def profile(handle: str, me: Viewer) -> Profile:
    """One person."""
    person = await person_or_404(handle)
    followed = await follows_person(me, person.id)
    return Profile(**Person.of(person).model_dump(), followed=followed)


@router.get("/{handle}/photos")
async def photos(handle: str, me: Viewer, before: UUID | None = None) -> Photos:
    """A person's photos, newest first."""
    person = await person_or_404(handle)
    found = await library.of(person.id, before=before, limit=GRID)
    more = len(found) == GRID
    older = f"/api/people/{person.handle}/photos?before={found[-1].id}" if more else None
    return Photos.of(await cards.of_shown(me.id if me else None, found), older)


@router.put("/{handle}/follow")
async def follow(handle: str, me: Member) -> Profile:
    """Follow somebody; a second time changes nothing."""
    person = await person_or_404(handle)
    try:
        await follows.follow(me.id, person.id)
    except follows.TooManyError as error:
        words = f"Nobody can follow more than {MAX_FOLLOWING} people."
        raise HTTPException(409, words) from error
    return await profile(handle, me)


@router.delete("/{handle}/follow")
async def unfollow(handle: str, me: Member) -> Profile:
    """Follow somebody no more; a second time changes nothing."""
    person = await person_or_404(handle)
    await follows.unfollow(me.id, person.id)
    return await profile(handle, me)
