"""Opens each form of the store: one parameter a form, and every law holds for all of them.

One database serves all tests of a run, emptied before each: a new one would take most of the time.
"""

import secrets

import pytest
import pytest_asyncio

from millions.sdk import schema
from millions.sdk.database import Database
from millions.sdk.store import SCHEMA, Store
from millions.testing import directory_for

FORMS = ["embedded"]


@pytest.fixture(scope="session")
def store_directory(millions_postgres, millions_folder):
    name = f"store_{secrets.token_hex(4)}"
    yield directory_for(millions_postgres.create_database(name), millions_folder / name)
    millions_postgres.drop_database(name)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def database(store_directory):
    database = Database()
    await database.open(store_directory)
    async with database.pool().acquire() as connection:
        await schema.ensure(connection, SCHEMA)
    yield database
    await database.close()


@pytest_asyncio.fixture(loop_scope="session", params=FORMS)
async def store(request, database, store_directory):
    await database.pool().execute(
        "TRUNCATE millions.documents, millions.counters, millions.sorted_items"
    )
    store = Store(database)
    await store.open(store_directory)
    yield store
    await store.close()
