"""What every page needs: who looks, the template, the words left by the page before."""

from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any
from urllib.parse import urlsplit
from uuid import UUID

from fastapi import Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from millions import assets, edge, metrics, sessions
from photos import people, wording
from photos.avatars import Avatar, avatar

FLASHES_MAX = 5

STRANGERS_S = 60
"""How long edges keep what strangers see. A commit takes it back; times of day are this exact."""

environment = Environment(
    loader=FileSystemLoader(Path(__file__).parent.parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


class LoginNeededError(Exception):
    """The page is for somebody who is logged in."""


def _avatar(person: people.Person) -> Avatar:
    return avatar(handle=person.handle, name=person.name)


environment.globals.update(asset=assets.url, avatar_of=_avatar)
environment.filters.update(short=wording.short, ago=wording.ago)


async def viewer(request: Request) -> people.Person | None:
    """Who looks at the page; None for somebody who is not logged in."""
    session = await sessions.of(request)
    if session.user is None:
        return None
    found = await people.person(UUID(str(session.user)))
    if found is not None:
        metrics.active(found.id)
    return found


Viewer = Annotated[people.Person | None, Depends(viewer)]


async def member(someone: Viewer) -> people.Person:
    """Who looks at the page; others are led to the login."""
    if someone is None:
        raise LoginNeededError
    return someone


Member = Annotated[people.Person, Depends(member)]


class Blank(SimpleNamespace):
    """Fields of a form, empty where nothing was given."""

    def __getattr__(self, name: str) -> str:
        return ""


async def page(
    request: Request,
    template: str,
    me: people.Person | None,
    /,
    *,
    status: int = 200,
    shows: Iterable[str] | None = None,
    **given: Any,
) -> HTMLResponse:
    """Render a template, with the words that were left for it.

    `shows` names what is on a page that is the same for all strangers, as transactions invalidate
    it: edges may give it to them. Only a page that has a form asks for a token: others give a
    stranger no cookie.
    """
    session = await sessions.of(request)
    flashes = session.pop("flashes", []) if session.get("flashes") else []
    text = environment.get_template(template).render(
        me=me,
        csrf=lambda: sessions.csrf_token(request),
        flashes=flashes,
        path=request.url.path,
        **given,
    )
    answer = HTMLResponse(text, status)
    if shows is not None and me is None and not flashes:
        edge.cache(answer, ttl_s=STRANGERS_S, tags=shows)
    return answer


async def flash(request: Request, text: str, *, kind: str = "good") -> None:
    """Leave words for the next page."""
    session = await sessions.of(request)
    session["flashes"] = [*session.get("flashes", []), [kind, text]][-FLASHES_MAX:]


def go(to: str) -> RedirectResponse:
    """Answer a form: the browser fetches the page `to` next."""
    return RedirectResponse(to, 303)


def inside(path: str, otherwise: str = "/") -> str:
    """`path` when it is one of ours, so that nobody is led to another site."""
    parts = urlsplit(path)
    ours = path.startswith("/") and not path.startswith(("//", "/\\"))
    return path if ours and not parts.scheme and not parts.netloc else otherwise
