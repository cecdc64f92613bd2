"""A person's page, who follows them, whom they follow, and the button for it."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Form, HTTPException, Request, Response

from photos import cards, follows, library, people
from photos.pages.rendering import Member, Viewer, flash, go, inside, page
from photos.settings import GRID, MAX_FOLLOWING

router = APIRouter()

LISTED = 50


async def person_or_404(handle: str) -> people.Person:
    """The person with this handle."""
    found = await people.by_handle(handle[:30])
    if found is None:
        raise HTTPException(404)
    return found


@router.get("/@{handle}")
async def profile(
    request: Request, handle: str, me: Viewer, before: UUID | None = None
) -> Response:
    person = await person_or_404(handle)
    photos = await library.of(person.id, before=before, limit=GRID)
    older = f"/@{person.handle}?before={photos[-1].id}" if len(photos) == GRID else None
    shown = await cards.of_shown(me.id if me else None, photos)
    return await page(
        request,
        "profile.html",
        me,
        shows=[*people.names([person]), *cards.names(shown)],
        person=person,
        photos=shown,
        follows=await follows_person(me, person.id),
        older=older,
    )


@router.get("/@{handle}/followers")
async def followers(
    request: Request, handle: str, me: Viewer, after: UUID | None = None
) -> Response:
    person = await person_or_404(handle)
    ids = await follows.followers_of(person.id, after=after, limit=LISTED)
    words = f"Nobody follows {person.name} yet."
    title = f"Followers of {person.name}"
    return await _listed(request, me, (person, "followers"), list(ids), title=title, words=words)


@router.get("/@{handle}/following")
async def following(
    request: Request, handle: str, me: Viewer, after: UUID | None = None
) -> Response:
    person = await person_or_404(handle)
    ids = await follows.followed_by(person.id, after=after, limit=LISTED)
    words = f"{person.name} follows nobody yet."
    title = f"{person.name} follows"
    return await _listed(request, me, (person, "following"), list(ids), title=title, words=words)


@router.post("/@{handle}/follow")
async def follow(
    request: Request, handle: str, me: Member, back: Annotated[str, Form()] = ""
) -> Response:
    person = await person_or_404(handle)
    try:
        await follows.follow(me.id, person.id)
    except follows.TooManyError:
        await flash(request, f"Nobody can follow more than {MAX_FOLLOWING} people.", kind="bad")
    return go(inside(back, f"/@{person.handle}"))


@router.post("/@{handle}/unfollow")
async def unfollow(handle: str, me: Member, back: Annotated[str, Form()] = "") -> Response:
    person = await person_or_404(handle)
    await follows.unfollow(me.id, person.id)
    return go(inside(back, f"/@{person.handle}"))


async def follows_person(me: people.Person | None, user_id: UUID) -> bool:
    """Whether `me` follows this person."""
    return me is not None and bool(await follows.followed(me.id, [user_id]))


async def _listed(
    request: Request,
    me: people.Person | None,
    of: tuple[people.Person, str],
    ids: list[UUID],
    *,
    title: str,
    words: str,
) -> Response:
    person, which = of
    found = await people.many(ids)
    return await page(
        request,
        "people.html",
        me,
        title=title,
        people=list(found.values()),
        followed=await follows.followed(me.id, ids) if me else frozenset(),
        back=f"/@{person.handle}",
        older=f"/@{person.handle}/{which}?after={ids[-1]}" if len(ids) == LISTED else None,
        empty_title="Nobody here",
        empty_words=words,
    )
