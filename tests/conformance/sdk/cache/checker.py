"""One process of the workload that G5 is checked with: reads through the cache while it writes.

    python checker.py DIRECTORY SECONDS SEED

It prints its history as JSON: acknowledged writes, rolled-back ones, and reads, with times of the
machine's one monotonic clock. It says that it writes no more with a file `ended-SEED` beside
DIRECTORY, and looks for the last time once both processes have. It judges nothing.
"""

import asyncio
import json
import random
import sys
import time
import uuid
from pathlib import Path

from sqlalchemy import text

from millions import directory as directories
from millions.sdk.cache import Cache
from millions.sdk.database import Database
from millions.testing import eventually

KEYS = 12
READERS = 24
WRITERS = 4
ROLLBACKS = 0.3
PROCESSES = 2
UPDATE = text("UPDATE checked SET version = version + 1 WHERE name = :name RETURNING version")


class RolledBackError(Exception):
    pass


class Workload:
    def __init__(self, database, cache, seconds, seed):
        self.database = database
        self.ends_at = time.monotonic() + seconds
        self.chance = random.Random(seed)
        self.writes = []
        self.rollbacks = []
        self.reads = []

        @cache.through(key="checked:{name}", tags=["all checked"], ttl_s=600)
        async def version(name):
            return await database.pool().fetchval(
                "SELECT version FROM checked WHERE name = $1", name
            )

        self.version = version

    async def run(self):
        await asyncio.gather(
            *(self.read() for _ in range(READERS)), *(self.write() for _ in range(WRITERS))
        )

    async def read(self):
        while time.monotonic() < self.ends_at:
            name = f"n{self.chance.randrange(KEYS)}"
            began = time.monotonic_ns()
            self.reads.append((name, await self.version(name), began))
            await asyncio.sleep(0.0004)

    async def write(self):
        while time.monotonic() < self.ends_at:
            name = f"n{self.chance.randrange(KEYS)}"
            tag = self.chance.random() < 0.1
            try:
                async with self.database.write(uuid.uuid4()) as session:
                    version = (await session.execute(UPDATE, {"name": name})).scalar_one()
                    session.invalidates("all checked" if tag else f"checked:{name}")
                    if self.chance.random() < ROLLBACKS:
                        raise RolledBackError
                self.writes.append((name, version, time.monotonic_ns()))
            except RolledBackError:
                self.rollbacks.append((name, version))
            await asyncio.sleep(self.chance.random() * 0.02)


async def main(path, seconds, seed):
    directory = directories.read(path)
    database = Database()
    await database.open(directory)
    cache = Cache(database)
    await cache.open(directory)
    workload = Workload(database, cache, seconds, seed)
    await workload.run()
    names = [f"n{n}" for n in range(KEYS)]
    statistics = cache.statistics()
    (path.parent / f"ended-{seed}").touch()
    await eventually(lambda: len([*path.parent.glob("ended-*")]) == PROCESSES, within_s=30)
    await asyncio.sleep(1.0)  # what the other process has notified arrives
    final = {name: await workload.version(name) for name in names}
    await cache.close()
    await database.close()
    return {
        "writes": workload.writes,
        "rollbacks": workload.rollbacks,
        "reads": workload.reads,
        "final": final,
        "hits": statistics.hits,
        "misses": statistics.misses,
    }


if __name__ == "__main__":
    history = asyncio.run(main(Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])))
    sys.stdout.write(json.dumps(history))
