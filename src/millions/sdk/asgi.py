"""`Millions(app)`: an ASGI application around yours that joins the nouns to each request.

Request id, access log, metrics, body limit, probes, assets, files, position cookie, idempotency
keys, sessions and CSRF. It never reads or changes what your application answers, but for headers.
"""

from __future__ import annotations

import contextlib
from time import perf_counter
from typing import TYPE_CHECKING, Any

from millions.sdk import answers, files_served, lifespan, nouns, requests
from millions.sdk.assets import PATH as ASSETS_URL
from millions.sdk.django import name_routes
from millions.sdk.exchange import Exchange
from millions.sdk.files import BASE_URL as FILES_URL
from millions.sdk.health import Health
from millions.sdk.idempotency import HEADER as KEY_HEADER
from millions.sdk.idempotency import UNSAFE

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

    App = Callable[[Any, Any, Any], Awaitable[None]]


async def _database_answers() -> None:
    await nouns.db.pool().fetchval("SELECT 1")


health = Health(nouns.is_open, _database_answers)
"""This process's health, which the server's private address shows too."""


class Millions:
    """Wrap an ASGI application: `app = Millions(FastAPI())`.

    `csrf=False` leaves forms unprotected, `csrf_exempt` those below some paths (webhooks);
    `trusted_origins` count as this site. `sessions=False` takes sessions out, `access_log=False`
    writes no line for each request, `run_tasks` overrides the directory's choice.
    """

    def __init__(
        self,
        app: App,
        *,
        csrf: bool = True,
        csrf_exempt: Sequence[str] = (),
        trusted_origins: Sequence[str] = (),
        sessions: bool = True,
        access_log: bool = True,
        run_tasks: bool | None = None,
    ) -> None:
        name_routes(app)
        self.app = app
        self._inner: App = app
        if sessions:
            self._inner = nouns.sessions.wrap(
                app, csrf=csrf, csrf_exempt=csrf_exempt, trusted_origins=trusted_origins
            )
        self._access_log = access_log
        self._run_tasks = run_tasks
        self._identities = requests.Identities()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one connection of the server, as ASGI says."""
        if scope["type"] == "http":
            nouns.believe(scope)
            await self._http(scope, receive, send)
        elif scope["type"] == "lifespan":
            health.starting = True
            await lifespan.serve(self.app, (scope, receive, send), nouns.running, self._up)
        else:
            nouns.believe(scope)
            await self._websocket(scope, receive, send)

    async def _websocket(self, scope: Any, receive: Any, send: Any) -> None:
        identity = self._identities.of(scope["headers"])
        token = requests.enter(requests.Request(identity, scope, perf_counter()))
        try:
            await self._inner(scope, receive, send)
        finally:
            requests.leave(token)

    async def _http(self, scope: Any, receive: Any, send: Any) -> None:
        identity = self._identities.of(scope["headers"])
        request = requests.Request(identity, scope, perf_counter())
        token = requests.enter(request)
        exchange = Exchange(request, receive, send, access_log=self._access_log)
        try:
            await self._answer(exchange, scope)
        except Exception as error:
            await exchange.failed(error)
            if not exchange.complete:
                raise  # the server must close the connection: the answer has a hole
        finally:
            exchange.finish()
            requests.leave(token)

    async def _answer(self, exchange: Exchange, scope: Any) -> None:
        path: str = scope["path"]
        if path.startswith(ASSETS_URL) and nouns.assets.served:
            scope["millions.route"] = ASSETS_URL
            await nouns.assets.serve(scope, exchange.send)
        elif path.startswith(FILES_URL):
            scope["millions.route"] = FILES_URL
            await files_served.serve(nouns.files, scope, exchange.send)
        elif path in {"/healthz", "/readyz"}:
            exchange.access_log = False
            scope["millions.route"] = path
            await _probe(path, exchange.send)
        elif exchange.begin():
            if scope["method"] in UNSAFE and requests.header(scope, KEY_HEADER) is not None:
                await nouns.answers_kept.answer(self._inner, scope, exchange.receive, exchange.send)
            else:
                await self._inner(scope, exchange.receive, exchange.send)
        else:
            await exchange.refuse()

    @contextlib.asynccontextmanager
    async def _up(self) -> AsyncGenerator[None]:
        """Run tasks and be ready while the application is up."""
        wanted = self._run_tasks
        if nouns.opened_with().tasks.embedded if wanted is None else wanted:
            await nouns.start_tasks()
        health.starting = False
        try:
            yield
        finally:
            await nouns.stop_tasks()


async def probe(path: str) -> tuple[int, str]:
    """Answer status and words of /healthz or /readyz."""
    if path == "/healthz":
        return 200, "alive\n"
    because = await health.ready()
    return (503, f"not ready\n  because: {because}\n") if because else (200, "ready\n")


async def _probe(path: str, send: Any) -> None:
    status, words = await probe(path)
    await answers.text(send, status, words)
