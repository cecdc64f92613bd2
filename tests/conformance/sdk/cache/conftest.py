"""Opens each form of the cache on a real database: one parameter a form, the same laws for all.

`process()` makes what one process of a stack has: a database and a cache that know of no other.
"""

import secrets
from types import SimpleNamespace

import pytest
import pytest_asyncio
from sqlalchemy import text

from millions.sdk.cache import Cache
from millions.sdk.database import Database
from millions.testing import directory_for

FORMS = ["embedded"]


@pytest.fixture(scope="session")
def cache_directory(millions_postgres, millions_folder):
    name = f"cache_{secrets.token_hex(4)}"
    yield directory_for(millions_postgres.create_database(name), millions_folder / name)
    millions_postgres.drop_database(name)


@pytest_asyncio.fixture(loop_scope="session")
async def database(cache_directory):
    database = Database()
    await database.open(cache_directory)
    await database.pool().execute(
        "DROP TABLE IF EXISTS things; CREATE TABLE things (name text PRIMARY KEY, value int)"
    )
    yield database
    await database.close()


@pytest_asyncio.fixture(loop_scope="session", params=FORMS)
async def process(request, database, cache_directory):
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
