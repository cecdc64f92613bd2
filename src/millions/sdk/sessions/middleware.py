"""The ASGI part: reads the cookie, refuses forged forms, stores before the response starts.

A request that never touches its session costs no query, and its body is read by nobody but the
application, unless the token of a form can be nowhere else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from millions.sdk import csrf
from millions.sdk.csrf import Origin
from millions.sdk.forms import SEARCHED_BYTES_MAX, field_in_query, found_field
from millions.sdk.sessions.visit import SCOPE_KEY, CookieDue, Visit

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from millions.sdk.sessions.noun import Sessions

    Scope = MutableMapping[str, Any]
    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

TO_NETWORKS = frozenset({b"cdn-cache-control", b"surrogate-control", b"surrogate-key"})

POLICY_VIOLATION = 1008
"""The WebSocket close code for "not from there"."""


class SessionMiddleware:
    """What `Sessions.wrap` puts around an application."""

    def __init__(
        self,
        app: ASGIApp,
        sessions: Sessions,
        *,
        check_csrf: bool,
        exempt: tuple[str, ...],
        trusted: frozenset[str],
    ) -> None:
        self._app = app
        self._sessions = sessions
        self._check_csrf = check_csrf
        self._exempt = exempt
        self._trusted = trusted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection of any kind."""
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        visit = self._arrive(scope)
        if visit.session_id is not None and self._is_checked(scope):
            refusal, receive = await self._refusal(scope, receive, visit.session_id)
            if refusal:
                await _send_refusal(send, refusal)
                return

        async def send_on(message: Message) -> None:
            if message["type"] == "http.response.start" and not visit.started:
                message = await self._leave(visit, message)
            await send(message)

        await self._app(scope, receive, send_on)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        visit = self._arrive(scope)
        if (
            visit.session_id is not None
            and self._is_checked(scope)
            and csrf.origin_of(scope["headers"], self._trusted) is Origin.OTHER
        ):
            await receive()
            await send({"type": "websocket.close", "code": POLICY_VIOLATION})
            return

        async def send_on(message: Message) -> None:
            if message["type"] == "websocket.accept" and not visit.started:
                message = await self._leave(visit, message)
            await send(message)

        await self._app(scope, receive, send_on)
        await self._sessions.keep(visit)

    def _arrive(self, scope: Scope) -> Visit:
        visit = Visit(self._sessions.cookie.session_id(scope["headers"]))
        scope[SCOPE_KEY] = visit
        return visit

    def _is_checked(self, scope: Scope) -> bool:
        return self._check_csrf and not scope.get("path", "").startswith(self._exempt)

    async def _leave(self, visit: Visit, start: Message) -> Message:
        """Store the session and add what the response must say about it."""
        visit.started = True  # also when storing fails: the error's own response goes out as it is
        await self._sessions.keep(visit)
        if start["type"] == "http.response.start" and visit.session is not None:
            visit.session.seal()
        if not visit.used:
            return start
        headers = [(bytes(name).lower(), bytes(value)) for name, value in start.get("headers", ())]
        headers.append((b"vary", b"Cookie"))
        if visit.cookie_due is not CookieDue.NOTHING:
            headers = [*_private(headers), (b"set-cookie", self._set_cookie(visit))]
        return {**start, "headers": headers}

    def _set_cookie(self, visit: Visit) -> bytes:
        """The header that this visit leaves with."""
        if visit.cookie_due is CookieDue.TAKE or visit.session_id is None:
            return self._sessions.cookie.taken()
        lasts_s = int(self._sessions.lifetime.absolute_s)
        return self._sessions.cookie.given(visit.session_id, lasts_s)

    async def _refusal(
        self, scope: Scope, receive: Receive, session_id: str
    ) -> tuple[str | None, Receive]:
        """Why the request is refused, and a `receive` that still has the whole body."""
        headers = scope["headers"]
        kind, content_type = csrf.content_type_of(headers)
        if not csrf.needs_check(scope["method"], kind):
            return None, receive
        origin = csrf.origin_of(headers, self._trusted)
        if origin is Origin.OTHER:
            return "the browser says that another site made it", receive
        is_form = kind in csrf.FORMS
        if origin is Origin.SAME and not is_form:
            return None, receive
        token = _token_beside_body(scope)
        if token is None and is_form:
            token, receive = await found_field(receive, content_type, csrf.FIELD)
        if token is None:
            return _missing(is_form=is_form), receive
        if not self._sessions.tokens.accepts(token, session_id):
            return "its CSRF token belongs to another session", receive
        return None, receive


def _token_beside_body(scope: Scope) -> str | None:
    """The token in the header, or in the query."""
    for name, value in scope["headers"]:
        if name == csrf.HEADER:
            return str(value.decode("latin-1"))
    query: bytes = scope.get("query_string", b"")
    return field_in_query(query, csrf.FIELD) if csrf.FIELD.encode() in query else None


def _missing(*, is_form: bool) -> str:
    where = f"the first {SEARCHED_BYTES_MAX >> 10} KiB of the form, " if is_form else ""
    return f"it has no CSRF token in {where}the header X-CSRF-Token or the query"


def _private(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The headers of a response that no shared cache may keep, because it carries a cookie.

    What is said to delivery networks alone comes before `Cache-Control` (RFC 9213): it goes.
    """
    headers = [each for each in headers if each[0].lower() not in TO_NETWORKS]
    told = b",".join(value for name, value in headers if name.lower() == b"cache-control").lower()
    if b"no-store" in told or b"private" in told:
        return headers
    kept = [each for each in headers if each[0].lower() != b"cache-control"]
    return [*kept, (b"cache-control", b"private, no-store")]


async def _send_refusal(send: Send, because: str) -> None:
    text = (
        f"cannot accept this request\n  because: {because}\n  try: reload the page, and send the "
        f"form again; forms carry sessions.csrf_token(request) in a field {csrf.FIELD}\n"
    )
    body = text.encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": body})
