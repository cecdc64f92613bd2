"""Opens each form of the store: one parameter a form, and every law holds for all of them.

One database, and one store of three servers, serve all tests of a run, emptied before each: new
ones would take most of the time.
"""

import asyncio
import dataclasses
import secrets

import pytest
import pytest_asyncio

from millions.sdk import schema
from millions.sdk.database import Database
from millions.sdk.store import SCHEMA, Store
from millions.testing import directory_for

FORMS = ["embedded", "distributed"]


@pytest.fixture(scope="session")
def make_directory(millions_postgres, millions_folder):
    """Makes a directory with a database of its own."""
    made = []

    def make():
        name = f"store_{secrets.token_hex(4)}"
        made.append(name)
        return directory_for(millions_postgres.create_database(name), millions_folder / name)

    yield make
    for name in made:
        millions_postgres.drop_database(name)


async def prepared(directory):
    database = Database()
    await database.open(directory)
    async with database.pool().acquire() as connection:
        await schema.ensure(connection, SCHEMA)
    return database


@pytest.fixture(scope="session")
def store_directory(make_directory):
    return make_directory()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def database(store_directory):
    database = await prepared(store_directory)
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
async def embedded(database, store_directory):
    await database.pool().execute(
        "TRUNCATE millions.documents, millions.counters, millions.sorted_items"
    )
    store = Store(database)
    await store.open(store_directory)
    yield store
    await store.close()


@pytest_asyncio.fixture(loop_scope="session")
async def distributed(moved, store_servers):
    database, directory = moved
    await asyncio.to_thread(store_servers.wait_ready)
    await asyncio.to_thread(store_servers.empty)
    store = Store(database)
    await store.open(directory)
    yield store
    await store.close()


@pytest.fixture(params=FORMS)
def store(request):
    return request.getfixturevalue(request.param)
