"""What `s.invalidates(...)` costs a transaction: alone, and with ten writers side by side.

    python bench/cache_commits.py [--rounds 9] [--operations 200] [--servers 2]

PostgreSQL lets one transaction at a time commit with a notification, so side by side they give up
sharing a flush of the log; how much that is depends on the disk. fsync is on here.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import uuid
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop
from rounds import Side, measure, report
from sqlalchemy import text

from millions.directory import CachePlace
from millions.sdk import schema
from millions.sdk.cache import SCHEMA, Cache
from millions.sdk.database import Database
from millions.testing import EmbeddedPostgres, directory_for, postgres
from millions.testing.valkey import EmbeddedValkey

if TYPE_CHECKING:
    from millions.directory import Directory

KEY = uuid.uuid4()
WRITERS = 10
INSERT = text("INSERT INTO written DEFAULT VALUES")


class Writer:
    def __init__(self, db: Database) -> None:
        self.db = db

    async def plain(self) -> None:
        async with self.db.write(KEY) as session:
            await session.execute(INSERT)

    async def invalidating(self) -> None:
        async with self.db.write(KEY) as session:
            await session.execute(INSERT)
            session.invalidates("user:7", "feed:7")

    async def many_plain(self) -> None:
        await asyncio.gather(*(self.plain() for _ in range(WRITERS)))

    async def many_invalidating(self) -> None:
        await asyncio.gather(*(self.invalidating() for _ in range(WRITERS)))


async def main(directory: Directory, rounds: int, operations: int) -> None:
    db = Database()
    cache = Cache(db)
    await db.open(directory)
    async with db.pool().acquire() as connection:
        await schema.ensure(connection, SCHEMA)
    await cache.open(directory)
    await db.pool().execute("CREATE TABLE written (id bigint GENERATED ALWAYS AS IDENTITY)")
    writer = Writer(db)
    alone = [Side("plain", writer.plain), Side("invalidating", writer.invalidating)]
    together = [Side("plain", writer.many_plain), Side("invalidating", writer.many_invalidating)]
    await measure(alone, rounds=rounds, operations=operations)
    await measure(together, rounds=rounds, operations=operations // WRITERS)
    groups = {"one transaction": alone, f"{WRITERS} side by side": together}
    report("What s.invalidates costs a transaction (fsync on)", groups, "cache_commits.json")
    await cache.close()
    await db.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--operations", type=int, default=200)
    parser.add_argument("--servers", type=int, default=0)
    options = parser.parse_args()
    postgres.SETTINGS |= {"fsync": "on", "full_page_writes": "on"}
    with tempfile.TemporaryDirectory(prefix="millions-bench-", dir="/tmp") as folder:
        Path(folder).chmod(0o711)
        server = EmbeddedPostgres(Path(folder) / "postgres").start()
        caches = [
            EmbeddedValkey(Path(folder) / f"valkey-{n}", password="of-the-bench").start()
            for n in range(options.servers)
        ]
        try:
            place = directory_for(server.create_database("bench"), Path(folder) / "stack")
            if caches:
                found = CachePlace(
                    servers=tuple(each.place for each in caches),
                    password_file=str(caches[0].password_file),
                )
                place = replace(place, cache=found)
            uvloop.run(main(place, options.rounds, options.operations))
        finally:
            server.stop()
            for each in caches:
                each.stop()
