"""What was acknowledged is there after a crash; what was cut off is repeated, or said unknown."""

import asyncio
import signal

import pytest

from millions.errors import CommitUnknownError
from millions.sdk import schema
from millions.sdk.database import Database
from millions.sdk.store import SCHEMA, Store
from millions.testing import EmbeddedPostgres, directory_for, eventually


@pytest.fixture
async def crashing(millions_folder):
    """A server of its own, which the test may kill, and a store on it."""
    server = EmbeddedPostgres(millions_folder / "crashing")
    await asyncio.to_thread(server.start)
    place = await asyncio.to_thread(server.create_database, "crashing")
    directory = directory_for(place, millions_folder / "crashing-stack")
    database = Database()
    await database.open(directory)
    async with database.pool().acquire() as connection:
        await schema.ensure(connection, SCHEMA)
    store = Store(database)
    await store.open(directory)
    yield server, store
    await store.close()
    await database.close()
    await asyncio.to_thread(server.remove)


class Load:
    """Writes that go on until they are told to end, and what was acknowledged of them."""

    def __init__(self, store):
        self.store = store
        self.ends = False
        self.put, self.added = [], []
        self.counted = self.unknown = 0

    async def write(self, writer):
        n = 0
        while not self.ends:
            n += 1
            await self.store.put(f"document:{writer}:{n}", n)
            self.put.append(f"document:{writer}:{n}")
            await self.store.sorted(f"list:{writer}").add(str(n), n)
            self.added.append((f"list:{writer}", str(n)))

    async def count(self):
        while not self.ends:
            try:
                await self.store.increment("count")
            except CommitUnknownError:
                self.unknown += 1
            else:
                self.counted += 1


async def test_no_acknowledged_write_is_lost_and_no_count_is_doubled_by_a_crash(crashing):
    server, store = crashing
    load = Load(store)

    async def crash():
        for _ in range(2):
            goal = len(load.put) + 50
            await eventually(lambda goal=goal: len(load.put) >= goal, within_s=20)
            await asyncio.to_thread(server.stop, sent=signal.SIGKILL)
            await asyncio.to_thread(server.start)
        load.ends = True

    async with asyncio.timeout(60):
        await asyncio.gather(
            *(load.write(n) for n in range(4)), *(load.count() for _ in range(4)), crash()
        )

    found = {}
    for start in range(0, len(load.put), 5000):
        found |= await store.many(load.put[start : start + 5000])
    assert found.keys() == set(load.put)
    for key, member in load.added[-200:]:
        assert await store.sorted(key).score(member) == float(member)
    assert load.counted > 10
    assert load.counted <= await store.count("count") <= load.counted + load.unknown
