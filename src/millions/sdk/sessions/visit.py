"""Visit: the session side of one request: which id it came with, and which cookie it leaves with.

It lives in the ASGI scope, where applications of every framework find it.
"""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import TYPE_CHECKING, Any

from millions.errors import SdkError

if TYPE_CHECKING:
    from millions.sdk.sessions.session import Session

SCOPE_KEY = "millions.session"


class CookieDue(Enum):
    """What the response says about the cookie."""

    NOTHING = "nothing"
    GIVE = "give"
    TAKE = "take"


class Visit:
    """The session of one request: not loaded before somebody asks."""

    __slots__ = ("cookie_due", "lock", "session", "session_id", "started", "used")

    def __init__(self, session_id: str | None) -> None:
        self.session_id = session_id
        self.session: Session | None = None
        self.cookie_due = CookieDue.NOTHING
        self.started = False
        self.used = False
        self.lock = asyncio.Lock()


def visit_of(request: object) -> Visit:
    """The visit of an ASGI scope, or of a request that has one (Starlette, Litestar, Django).

    Raise SdkError when the request did not come through `Sessions.wrap`.
    """
    scope: Any = getattr(request, "scope", request)
    try:
        visit = scope[SCOPE_KEY]
    except (KeyError, TypeError):
        visit = None
    if not isinstance(visit, Visit):
        raise SdkError(
            cannot=f"find the session of this {type(request).__name__}",
            because="it has no ASGI scope that came through the sessions middleware",
            try_="wrap the application in Millions(app), and pass the request or its scope",
        )
    return visit
