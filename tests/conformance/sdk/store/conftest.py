"""Opens each form of the store: one parameter a form, and every law holds for all of them."""

import pytest
import pytest_asyncio

from millions.sdk import schema
from millions.sdk.database import Database
from millions.sdk.store import SCHEMA, Store

FORMS = ["embedded"]


@pytest.fixture(scope="session")
def millions_prepare():
    async def prepare(directory):
        database = Database()
        await database.open(directory)
        async with database.pool().acquire() as connection:
            await schema.ensure(connection, SCHEMA)
        await database.close()

    return prepare


@pytest_asyncio.fixture(loop_scope="session")
async def database(millions_directory):
    database = Database()
    await database.open(millions_directory)
    yield database
    await database.close()


@pytest_asyncio.fixture(loop_scope="session", params=FORMS)
async def store(request, database, millions_directory):
    store = Store(database)
    await store.open(millions_directory)
    yield store
    await store.close()
