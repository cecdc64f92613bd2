"""Opens sessions on each form of the store, and talks ASGI to an application that uses them.

One database serves all tests of a run, emptied before each.
"""

import secrets
import time
from types import SimpleNamespace

import httpx
import pytest
import pytest_asyncio
from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route, WebSocketRoute

from millions.sdk import schema
from millions.sdk.database import Database
from millions.sdk.sessions import Sessions
from millions.sdk.store import SCHEMA, Store
from millions.testing import directory_for

FORMS = ["embedded"]


class CountingStore(Store):
    """The store, which also counts what it is asked; nothing in it is replaced."""

    asked = 0

    async def get(self, key):
        self.asked += 1
        return await super().get(key)

    async def put(self, key, value, **options):
        self.asked += 1
        return await super().put(key, value, **options)


class Clock:
    """The time, which a test may put forward, or stop."""

    ahead_s = 0.0
    stopped_at_s = None

    def __call__(self):
        return self.ahead_s + (self.stopped_at_s or time.time())


@pytest.fixture(scope="session")
def sessions_directory(millions_postgres, millions_folder):
    name = f"sessions_{secrets.token_hex(4)}"
    yield directory_for(millions_postgres.create_database(name), millions_folder / name)
    millions_postgres.drop_database(name)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def database(sessions_directory):
    database = Database()
    await database.open(sessions_directory)
    async with database.pool().acquire() as connection:
        await schema.ensure(connection, SCHEMA)
    yield database
    await database.close()


@pytest_asyncio.fixture(loop_scope="session", params=FORMS)
async def store(request, database, sessions_directory):
    await database.pool().execute(
        "TRUNCATE millions.documents, millions.counters, millions.sorted_items"
    )
    store = CountingStore(database)
    await store.open(sessions_directory)
    yield store
    await store.close()


@pytest.fixture
def clock():
    return Clock()


@pytest_asyncio.fixture(loop_scope="session")
async def sessions(store, clock, sessions_directory):
    sessions = Sessions(store, clock=clock)
    await sessions.open(sessions_directory)
    yield sessions
    await sessions.close()


@pytest.fixture
def site(sessions):  # one small page after the other
    """An application with sessions, and `visitor()`, which makes a browser for it."""

    async def show(request):
        session = await sessions.of(request)
        return JSONResponse({"user": session.user, "data": dict(session)})

    async def change(request):
        session = await sessions.of(request)
        session.update(request.query_params)
        return PlainTextResponse("ok")

    async def login(request):
        await sessions.login(request, request.query_params["user"])
        return PlainTextResponse("ok")

    async def logout(request):
        await sessions.logout(request)
        return PlainTextResponse("ok", headers={"Cache-Control": "public, max-age=60"})

    async def untouched(request):
        return PlainTextResponse("ok")

    async def form(request):
        return PlainTextResponse(sessions.csrf_token(request))

    async def submit(request):
        body = await request.body()
        return PlainTextResponse(f"{len(body)}:{hash(body)}")

    async def socket(websocket):
        session = await sessions.of(websocket)
        await websocket.accept()
        session["socket"] = "seen"
        await websocket.close()

    posts = ["GET", "POST", "PUT", "DELETE", "PATCH"]
    routes = [
        Route("/", show),
        Route("/change", change),
        Route("/login", login),
        Route("/logout", logout),
        Route("/untouched", untouched),
        Route("/form", form),
        Route("/submit", submit, methods=posts),
        Route("/hook/in", submit, methods=posts),
        WebSocketRoute("/socket", socket),
    ]
    app = sessions.wrap(
        Starlette(routes=routes),
        csrf_exempt=["/hook/"],
        trusted_origins=["https://trusted.example"],
    )

    def visitor(**options):
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url="http://site.example", **options)

    return SimpleNamespace(app=app, visitor=visitor, cookie="millions_session")
