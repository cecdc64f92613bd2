"""`sessions`: who a visitor is and what they did before, kept in `store` under a signed id.

No web server remembers anything. The id changes at login; a session that was logged out, revoked
or is over cannot be brought back by a request that still knew it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from millions.errors import CommitUnknownError, ConflictError, SdkError, UnavailableError
from millions.sdk.csrf import Tokens
from millions.sdk.sessions.cookie import Cookie, new_id
from millions.sdk.sessions.middleware import SessionMiddleware
from millions.sdk.sessions.session import Session
from millions.sdk.sessions.visit import CookieDue, Visit, visit_of
from millions.sdk.signing import read_secret

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from millions.directory import Directory
    from millions.sdk.sessions.middleware import ASGIApp
    from millions.sdk.store import Store

DAY_S = 86_400.0

TOUCH_PART = 24
"""A session in use is renewed after 1/24 of its idle time: at most one write in that time."""

KEEP_ATTEMPTS = 10
"""Requests side by side that change one session; more than this many in a row are refused."""

SESSIONS_PER_USER = 50
"""A user's oldest sessions beyond these are ended at the next login."""

REVOKE_PAGES_MAX = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifetime:
    """How long a session lasts: unused for `idle_s`, and `absolute_s` in all."""

    idle_s: float = 14 * DAY_S
    absolute_s: float = 90 * DAY_S


class Sessions:
    """The noun `sessions`. Set `lifetime` before it is opened to have another one."""

    def __init__(self, store: Store, *, clock: Callable[[], float] = time.time) -> None:
        self.lifetime = Lifetime()
        self._store = store
        self._clock = clock
        self._cookie: Cookie | None = None
        self._tokens: Tokens | None = None

    async def open(self, directory: Directory) -> None:
        """Read the secret. Raise StateError when there is none."""
        secret = read_secret(directory.secret_file)
        self._cookie = Cookie(secret, secure=directory.web.secure)
        self._tokens = Tokens(secret)

    async def close(self) -> None:
        """Forget the secret."""
        self._cookie = self._tokens = None

    def wrap(
        self,
        app: ASGIApp,
        *,
        csrf: bool = True,
        csrf_exempt: Sequence[str] = (),
        trusted_origins: Collection[str] = (),
    ) -> SessionMiddleware:
        """Put sessions and CSRF protection around an ASGI application.

        `csrf_exempt` are starts of paths that are not checked (webhooks that browsers do not send);
        `trusted_origins` such as `https://pay.example.com` count as this site.
        """
        return SessionMiddleware(
            app,
            self,
            check_csrf=csrf,
            exempt=tuple(csrf_exempt),
            trusted=frozenset(origin.lower() for origin in trusted_origins),
        )

    async def of(self, request: object) -> Session:
        """The session of a request or scope, loaded once; an empty one when there is none."""
        visit = visit_of(request)
        visit.used = True
        async with visit.lock:
            if visit.session is None:
                visit.session = await self._loaded(visit)
            return visit.session

    async def save(self, request: object) -> None:
        """Store now what changed; a WebSocket that lives long need not wait for its end.

        Raise SdkError when the visitor has no cookie yet and it is too late to give one.
        """
        visit = visit_of(request)
        if visit.started and visit.session_id is None and visit.session:
            raise _too_late("make a session")
        await self.keep(visit)

    async def login(self, request: object, user_id: object) -> Session:
        """Make this the session of `user_id`, under a new id; what it held is carried over.

        What it held for another user is not. The former id is worth nothing from here on.
        """
        session = await self.of(request)
        visit = visit_of(request)
        if visit.started:
            raise _too_late("log in")
        former_id = visit.session_id
        user, former_user = str(user_id), session.user
        data = session.copied() if former_user in (None, user) else {}
        session.renew(user, data)
        visit.session_id, visit.cookie_due = new_id(), CookieDue.GIVE
        await self._put(visit.session_id, session)
        await self._store.sorted(_index(user)).add(visit.session_id, session.made_at_s)
        if former_id is not None:
            await self._drop(former_user, [former_id])
        await self._end_surplus(user)
        return session

    async def logout(self, request: object) -> None:
        """End this session, here and on the server."""
        session = await self.of(request)
        visit = visit_of(request)
        if visit.session_id is not None:
            await self._drop(session.user, [visit.session_id])
        session.end()
        visit.session_id = None
        visit.cookie_due = CookieDue.TAKE

    async def revoke_user(self, user_id: object) -> int:
        """End every session of `user_id`, on every device; say how many ids were withdrawn."""
        user = str(user_id)
        index = self._store.sorted(_index(user))
        revoked = 0
        for _ in range(REVOKE_PAGES_MAX):
            page = await index.range(SESSIONS_PER_USER)
            if not page:
                break
            await self._drop(user, [scored.member for scored in page])
            revoked += len(page)
        return revoked

    def csrf_token(self, request: object) -> str:
        """The token for the forms and scripts of this page: field `csrf_token`, or X-CSRF-Token.

        A visitor without a session gets a cookie with this response, and nothing is stored.
        """
        visit = visit_of(request)
        visit.used = True
        if visit.session_id is None:
            if visit.started:
                raise _too_late("give out a CSRF token")
            visit.session_id, visit.cookie_due = new_id(), CookieDue.GIVE
        return self.tokens.token(visit.session_id)

    @property
    def cookie(self) -> Cookie:
        """Reads and writes the cookie. Raise UnavailableError before `open`."""
        if self._cookie is None:
            raise _not_open()
        return self._cookie

    @property
    def tokens(self) -> Tokens:
        """Makes and checks CSRF tokens. Raise UnavailableError before `open`."""
        if self._tokens is None:
            raise _not_open()
        return self._tokens

    async def keep(self, visit: Visit) -> None:
        """Store the session of `visit` if it changed, or was not renewed for long."""
        session = visit.session
        if session is None:
            return
        changes = session.changes()
        if session.version is None and not changes:
            return
        idle_s = self._clock() - session.seen_at_s
        if not changes and idle_s < self.lifetime.idle_s / TOUCH_PART:
            return
        if visit.session_id is None:
            visit.session_id = new_id()
        if session.version is None:
            visit.cookie_due = CookieDue.GIVE
        await self._put(visit.session_id, session)

    async def _loaded(self, visit: Visit) -> Session:
        session = Session()
        if visit.session_id is None:
            return session
        document = await self._store.get(_key(visit.session_id))
        if document is not None:
            session.take(document)
            if self._left_s(session) <= 0:
                session.end()
        return session

    async def _put(self, session_id: str, session: Session) -> None:
        """Store, on top of what requests side by side have stored; never what was ended.

        A write that nobody answered is looked for: what it changed may be changed once more.
        """
        unknown: CommitUnknownError | None = None
        for _ in range(KEEP_ATTEMPTS):
            now_s = self._clock()
            session.seen_at_s = now_s
            session.made_at_s = session.made_at_s if session.version is not None else now_s
            try:
                version = await self._store.put(
                    _key(session_id),
                    session.document(),
                    ttl_s=max(0.001, min(self.lifetime.idle_s, self._left_s(session))),
                    if_version=session.version or 0,
                )
            except (ConflictError, CommitUnknownError) as error:
                unknown = error if isinstance(error, CommitUnknownError) else None
                document = await self._store.get(_key(session_id))
                if document is not None:
                    session.rebase(document)
                elif session.version is not None:
                    session.end()
                    return
            else:
                session.settled(version)
                return
        raise unknown or ConflictError(
            cannot="store the session",
            because=f"other requests of it changed it {KEEP_ATTEMPTS} times meanwhile",
            try_="fewer requests side by side that change the same session",
        )

    async def _drop(self, user: str | None, session_ids: list[str]) -> None:
        for session_id in session_ids:
            await self._store.delete(_key(session_id))
        if user is not None:
            await self._store.sorted(_index(user)).remove(*session_ids)

    async def _end_surplus(self, user: str) -> None:
        """End the oldest sessions of a user who has too many."""
        index = self._store.sorted(_index(user))
        newest = await index.range(SESSIONS_PER_USER)
        if len(newest) == SESSIONS_PER_USER:
            surplus = await index.range(SESSIONS_PER_USER, before=newest[-1])
            await self._drop(user, [scored.member for scored in surplus])

    def _left_s(self, session: Session) -> float:
        """How much of the absolute lifetime is left."""
        return session.made_at_s + self.lifetime.absolute_s - self._clock()


def _key(session_id: str) -> str:
    return f"session:{session_id}"


def _index(user: str) -> str:
    return f"sessions:{user}"


def _too_late(deed: str) -> SdkError:
    return SdkError(
        cannot=deed,
        because="the response has started, and no cookie can be given any more",
        try_="do it before the first byte of the response",
    )


def _not_open() -> UnavailableError:
    return UnavailableError(
        cannot="use sessions",
        because="they are not open",
        try_="run inside Millions(app), or `async with millions.sdk.nouns.running():`",
    )
