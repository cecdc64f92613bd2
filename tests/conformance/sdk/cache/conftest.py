"""Opens each form of the cache on a real database: one parameter a form, the same laws for all.

`process()` makes what one process of a stack has: a database and a cache that know of no other.
"""

import dataclasses
import secrets
from functools import partial
from types import SimpleNamespace

import pytest
import pytest_asyncio
from cache_places import epochs, place_of
from sqlalchemy import text

from millions.sdk import schema
from millions.sdk.cache import SCHEMA, Cache
from millions.sdk.database import Database
from millions.sdk.valkey import Link
from millions.testing import directory_for
from millions.testing.valkey import EmbeddedValkey

FORMS = ["embedded", "distributed"]
SERVERS = 2
PATIENT_S = 1.0
"""How late a server may answer here: on a busy machine one that is well is not always in time."""


@pytest.fixture(autouse=True)
def patience(request, monkeypatch):
    """Let servers answer late, but where that is what is tested."""
    if request.module.__name__ != "test_slow_server":
        patient = partial(Link, deadline_s=PATIENT_S)
        monkeypatch.setattr("millions.sdk.cache.server.Link", patient)


@pytest.fixture(scope="session")
def first_directory(millions_postgres, millions_folder):
    name = f"cache_{secrets.token_hex(4)}"
    yield directory_for(millions_postgres.create_database(name), millions_folder / name)
    millions_postgres.drop_database(name)


@pytest.fixture(scope="session")
def all_servers(millions_folder):
    """Servers of one password, which run for all tests and are empty at the start of each."""
    password = secrets.token_urlsafe(24)
    servers = [
        EmbeddedValkey(millions_folder / f"valkey-{secrets.token_hex(4)}", password=password)
        for _ in range(SERVERS)
    ]
    for server in servers:
        server.start()
    yield servers
    for server in servers:
        server.stop()


@pytest.fixture
def servers(all_servers):
    for server in all_servers:
        if server.process is None:
            server.start()
        server.ask("FLUSHALL")
    return all_servers


@pytest.fixture(params=FORMS)
def form(request):
    return request.param


@pytest.fixture
def cache_directory(form, request, first_directory):
    servers = request.getfixturevalue("servers") if form == "distributed" else []
    return dataclasses.replace(first_directory, epoch=next(epochs), cache=place_of(servers))


@pytest_asyncio.fixture(loop_scope="session")
async def database(cache_directory):
    database = Database()
    await database.open(cache_directory)
    async with database.pool().acquire() as connection:
        await schema.ensure(connection, SCHEMA)
    await database.pool().execute(
        "DROP TABLE IF EXISTS things; CREATE TABLE things (name text PRIMARY KEY, value int); "
        "TRUNCATE millions.cache_stale"
    )
    yield database
    await database.close()


@pytest_asyncio.fixture(loop_scope="session")
async def process(database, cache_directory):
    opened = []

    async def start(source=None):
        own = Database()
        await own.open(cache_directory)
        cache = Cache(own if source is None else source(own))
        await cache.open(cache_directory)
        made = SimpleNamespace(database=own, cache=cache, loads=0)

        @cache.through(key="thing:{name}", tags=["things"], ttl_s=600)
        async def thing(name):
            made.loads += 1
            return await own.pool().fetchval("SELECT value FROM things WHERE name = $1", name)

        made.thing = thing
        opened.append(made)
        return made

    yield start
    for made in opened:
        await made.cache.close()
        await made.database.close()


SET = text(
    "INSERT INTO things VALUES (:name, :value) ON CONFLICT (name) DO UPDATE SET value = :value"
)


@pytest.fixture
def put():
    """Sets a thing inside a transaction, and invalidates it."""

    async def put(session, name, value, *names):
        await session.execute(SET, {"name": name, "value": value})
        session.invalidates(*(names or (f"thing:{name}",)))

    return put
