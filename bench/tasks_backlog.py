"""Whether claiming tasks gets slower: after a million done, before a million waiting, and while an
old transaction keeps vacuum from removing anything.

One process enqueues, then works; the rate is taken for each tenth. `head` is what looking from the
start of the queue costs at that moment, which a worker does at most once a second.

    python bench/tasks_backlog.py [--tasks 1000000]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvloop

from millions.sdk import schema
from millions.sdk.database import Database
from millions.sdk.tasks import SCHEMA, Tasks
from millions.testing import EmbeddedPostgres, directory_for, postgres

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

RESULTS = Path(__file__).parent / "results"
PARTS = 10
BATCH = 5000
CONCURRENCY = 16
PART_WITHIN_S = 120
HEAD = """
    SELECT id FROM millions.tasks WHERE state = 0 AND queue = 'default' AND priority = 0
    ORDER BY id LIMIT 1
"""


class Bench:
    """One database, one task, and what was measured."""

    def __init__(self, db: Database, tasks: Tasks) -> None:
        self.db = db
        self.tasks = tasks
        self.ran = 0
        self.wanted = 0
        self.reached = asyncio.Event()
        self.task = tasks.task(name="noop")(self.noop)
        self.results: dict[str, list[dict[str, float]]] = {}

    async def noop(self, _number: int) -> None:
        """Count."""
        self.ran += 1
        if self.ran >= self.wanted:
            self.reached.set()

    async def enqueue(self, count: int) -> None:
        """Write a backlog."""
        for first in range(0, count, BATCH):
            await self.tasks.enqueue_many(
                self.task, [(n,) for n in range(first, min(first + BATCH, count))]
            )

    async def work(self, name: str, count: int) -> None:
        """Wait until `count` more tasks ran than were asked for before, and note the rate."""
        already, began = self.ran, time.perf_counter()
        self.wanted += count
        self.reached.clear()
        async with asyncio.timeout(PART_WITHIN_S):
            await self.reached.wait()
        per_s = (self.ran - already) / (time.perf_counter() - began)
        began = time.perf_counter()
        await self.db.pool().fetchval(HEAD)
        head_ms = (time.perf_counter() - began) * 1000
        row = await self.db.pool().fetchrow(
            "SELECT pg_total_relation_size('millions.tasks') / 1e6 AS mb, n_dead_tup AS dead"
            " FROM pg_stat_user_tables WHERE relid = 'millions.tasks'::regclass"
        )
        measured = {"per_s": per_s, "head_ms": head_ms, "mb": float(row["mb"]), "dead": row["dead"]}
        self.results.setdefault(name, []).append(measured)
        print(
            f"{name:34}{self.ran:11,}{per_s:10,.0f}/s  head {head_ms:7.2f} ms"
            f"{measured['mb']:8.0f} MB{measured['dead']:11,} dead rows",
            flush=True,
        )

    async def passing(self, name: str, count: int) -> None:
        """Let `count` tasks pass through the table, a part at a time."""
        async with self.tasks.worker(concurrency=CONCURRENCY):
            for _ in range(PARTS):
                part = asyncio.create_task(self.enqueue(count // PARTS))
                await self.work(name, count // PARTS)
                await part

    async def waiting(self, name: str, count: int) -> None:
        """Work off a backlog of `count`."""
        await self.enqueue(count)
        async with self.tasks.worker(concurrency=CONCURRENCY):
            for _ in range(PARTS):
                await self.work(name, count // PARTS)


@asynccontextmanager
async def old_transaction(db: Database) -> AsyncIterator[None]:
    """Keep a snapshot, as a long report or a dump does."""
    connection = await db.listener()
    try:
        await connection.execute("SET idle_in_transaction_session_timeout = 0")
        await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        await connection.fetchval("SELECT count(*) FROM millions.task_workers")
        yield
    finally:
        await connection.close()


async def measure(directory: Any, count: int) -> dict[str, Any]:
    db = Database()
    await db.open(directory)
    tasks = Tasks(db)
    try:
        async with db.pool().acquire() as connection:
            await schema.ensure(connection, SCHEMA)
        await tasks.open(directory)
        bench = Bench(db, tasks)
        await bench.passing("passing through", count)
        await bench.waiting("a backlog", count)
        async with old_transaction(db):
            await bench.passing("beside an old transaction", count // 2)
        return bench.results
    finally:
        await tasks.close()
        await db.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=1_000_000)
    chosen = parser.parse_args()
    postgres.SETTINGS.update(
        fsync="on", full_page_writes="on", shared_buffers="128MB", max_wal_size="2GB"
    )
    with tempfile.TemporaryDirectory(prefix="millions-bench-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o711)
        server = EmbeddedPostgres(folder / "postgres").start()
        try:
            directory = directory_for(server.create_database("bench"), folder / "stack")
            results = uvloop.run(measure(directory, chosen.tasks))
        finally:
            server.stop()
    RESULTS.mkdir(exist_ok=True)
    document = {"question": __doc__.splitlines()[0], "tasks": chosen.tasks, "phases": results}
    (RESULTS / "tasks_backlog.json").write_text(json.dumps(document, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
