"""Pages that list: the feed, everything new, and a search for people."""

from uuid import UUID

from fastapi import APIRouter, Request, Response

from photos import cards, feed, follows, library, people
from photos.pages.rendering import Viewer, page
from photos.settings import GRID, PAGE

router = APIRouter()

SUGGESTIONS = 6
WALL = 16


@router.get("/")
async def home(request: Request, me: Viewer, before: str = "") -> Response:
    if me is None:
        wall = await cards.of(None, await library.newest(before=None, limit=WALL))
        shows = ["newest", *cards.names(wall)]
        return await page(request, "landing.html", None, photos=wall, shows=shows)
    entries = await feed.read(me.id, before=feed.cursor(before), limit=PAGE)
    photos = await cards.of(me.id, [(each.owner_id, each.photo_id) for each in entries])
    older = f"/?before={entries[-1].member}" if len(entries) == PAGE else None
    unknown, _ = await suggestions(me)
    return await page(
        request, "feed.html", me, photos=photos, older=older, suggestions=unknown[:SUGGESTIONS]
    )


@router.get("/explore")
async def explore(request: Request, me: Viewer, before: UUID | None = None) -> Response:
    newest = await library.newest(before=before, limit=GRID)
    photos = await cards.of(me.id if me else None, newest)
    older = f"/explore?before={newest[-1][1]}" if len(newest) == GRID else None
    unknown, followed = await suggestions(me)
    suggested = unknown[:SUGGESTIONS] if before is None else []
    return await page(
        request,
        "explore.html",
        me,
        shows=["newest", "popular", *cards.names(photos), *people.names(suggested)],
        photos=photos,
        older=older,
        suggestions=suggested,
        followed=followed,
    )


@router.get("/search")
async def search(request: Request, me: Viewer, q: str = "") -> Response:
    query = q.strip()[:60]
    found = await people.search(query)
    ids = [each.id for each in found]
    return await page(
        request,
        "people.html",
        me,
        title=f"People named “{query}”" if query else "Search people",
        people=found,
        followed=await follows.followed(me.id, ids) if me else frozenset(),
        q=query,
        back=None,
        older=None,
        empty_title="Nobody found" if query else "Whom do you look for?",
        empty_words="No name or handle begins with this." if query else "A name or a handle.",
    )


async def suggestions(
    me: people.Person | None,
) -> tuple[list[people.Person], frozenset[UUID]]:
    """People many follow and `me` does not yet, and whom of them `me` follows."""
    popular = await people.popular()
    if me is None:
        return popular, frozenset()
    known = await follows.followed(me.id, [each.id for each in popular])
    return [each for each in popular if each.id not in known and each.id != me.id], known
