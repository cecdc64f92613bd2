"""Opens sessions on each form of the store, and talks ASGI to an application that uses them.

One database serves all tests of a run, emptied before each.
"""

import asyncio
import dataclasses
import secrets
import time
from types import SimpleNamespace

import httpx
import pytest
import pytest_asyncio
from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route, WebSocketRoute

from millions.errors import CommitUnknownError
from millions.sdk import schema
from millions.sdk.database import Database
from millions.sdk.sessions import Sessions
from millions.sdk.store import SCHEMA, Store
from millions.testing import directory_for

FORMS = ["embedded", "distributed"]


class CountingStore(Store):
    """The store, which counts what it is asked; nothing in it is replaced.

    Where `breaks` says so, nobody hears whether the next put was done: "before" it was, or "after".
    """

    asked = 0
    breaks = ""

    async def get(self, key):
        self.asked += 1
        return await super().get(key)

    async def put(self, key, value, **options):
        self.asked += 1
        breaks, self.breaks = self.breaks, ""
        if breaks != "before":
            version = await super().put(key, value, **options)
        if breaks:
            raise CommitUnknownError(
                cannot=f"say whether {key} was put", because="it broke", try_="again"
            )
        return version


class Clock:
    """The time, which a test may put forward, or stop."""

    ahead_s = 0.0
    stopped_at_s = None

    def __call__(self):
        return self.ahead_s + (self.stopped_at_s or time.time())


@pytest.fixture(scope="session")
def make_directory(millions_postgres, millions_folder):
    """Makes a directory with a database of its own."""
    made = []

    def make():
        name = f"sessions_{secrets.token_hex(4)}"
        made.append(name)
        return directory_for(millions_postgres.create_database(name), millions_folder / name)

    yield make
    for name in made:
        millions_postgres.drop_database(name)


@pytest.fixture(scope="session")
def sessions_directory(make_directory):
    return make_directory()


async def prepared(directory):
    database = Database()
    await database.open(directory)
    async with database.pool().acquire() as connection:
        await schema.ensure(connection, SCHEMA)
    return database


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def database(sessions_directory):
    database = await prepared(sessions_directory)
    yield database
    await database.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def moved(make_directory, store_servers):
    """A database and a directory whose store is on servers."""
    directory = make_directory()
    database = await prepared(directory)
    yield database, dataclasses.replace(directory, store=store_servers.place)
    await database.close()


@pytest_asyncio.fixture(loop_scope="session")
async def embedded(database, sessions_directory):
    await database.pool().execute(
        "TRUNCATE millions.documents, millions.counters, millions.sorted_items"
    )
    store = CountingStore(database)
    await store.open(sessions_directory)
    yield store
    await store.close()


@pytest_asyncio.fixture(loop_scope="session")
async def distributed(moved, store_servers):
    database, directory = moved
    await asyncio.to_thread(store_servers.wait_ready)
    await asyncio.to_thread(store_servers.empty)
    store = CountingStore(database)
    await store.open(directory)
    yield store
    await store.close()


@pytest.fixture(params=FORMS)
def store(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def clock():
    return Clock()


@pytest_asyncio.fixture(loop_scope="session")
async def sessions(store, clock, sessions_directory):
    sessions = Sessions(store, clock=clock)
    await sessions.open(sessions_directory)
    yield sessions
    await sessions.close()


class Pages:
    """One small page after the other."""

    def __init__(self, sessions):
        self.sessions = sessions

    async def show(self, request):
        session = await self.sessions.of(request)
        return JSONResponse({"user": session.user, "data": dict(session)})

    async def change(self, request):
        session = await self.sessions.of(request)
        session.update(request.query_params)
        return PlainTextResponse("ok")

    async def login(self, request):
        await self.sessions.login(request, request.query_params["user"])
        return PlainTextResponse("ok")

    async def logout(self, request):
        await self.sessions.logout(request)
        return PlainTextResponse("ok", headers={"Cache-Control": "public, max-age=60"})

    async def untouched(self, request):  # noqa: ARG002  # the shape of a view
        return PlainTextResponse("ok")

    async def form(self, request):
        return PlainTextResponse(self.sessions.csrf_token(request))

    async def submit(self, request):
        body = await request.body()
        return PlainTextResponse(f"{len(body)}:{hash(body)}")

    async def socket(self, websocket):
        session = await self.sessions.of(websocket)
        await websocket.accept()
        session["socket"] = "seen"
        await websocket.close()


@pytest.fixture
def site(sessions):
    """An application with sessions, and `visitor()`, which makes a browser for it."""
    pages = Pages(sessions)
    posts = ["GET", "POST", "PUT", "DELETE", "PATCH"]
    routes = [
        Route("/", pages.show),
        Route("/change", pages.change),
        Route("/login", pages.login),
        Route("/logout", pages.logout),
        Route("/untouched", pages.untouched),
        Route("/form", pages.form),
        Route("/submit", pages.submit, methods=posts),
        Route("/hook/in", pages.submit, methods=posts),
        WebSocketRoute("/socket", pages.socket),
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
