"""Millions on PostgreSQL: tasks in the loop, in threads, and completing in a transaction."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import uvloop
from counting import Counter, Sending

from millions import directory
from millions.sdk import schema
from millions.sdk.database import Database
from millions.sdk.tasks import SCHEMA, Tasks

db = Database()
tasks = Tasks(db)
counter = Counter()
BATCH = 5000
CONCURRENCY = 16
PLACE = Path(os.environ["BENCH_URL"]).read_text()


@tasks.task(name="async")
async def in_the_loop(number: int) -> None:
    counter.count(number)


@tasks.task(name="threads")
def in_threads(number: int) -> None:
    counter.count(number)


@tasks.task(name="completing")
async def completing(number: int) -> None:
    async with db.write("user-1") as session:
        await tasks.current().complete_in(session)
    counter.count(number)


KINDS = {"async": in_the_loop, "threads": in_threads, "completing": completing}


async def enqueue(kind: str, count: int) -> None:
    sending = Sending(count)
    if sending.rate:
        async for number in sending:
            await KINDS[kind].enqueue(number)
        return
    for first in range(0, count, BATCH):
        several = [(number,) for number in range(first, min(first + BATCH, count))]
        await tasks.enqueue_many(KINDS[kind], several)


async def main(kind: str, count: int) -> None:
    place = directory.parse(PLACE)
    await db.open(place)
    async with db.pool().acquire() as connection:
        await schema.ensure(connection, SCHEMA)
    await tasks.open(place)
    try:
        if count:
            await enqueue(kind, count)
        else:
            stopped = asyncio.Event()
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
            async with tasks.worker(concurrency=CONCURRENCY):
                await stopped.wait()
    finally:
        await tasks.close()
        await db.close()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[3]) if sys.argv[2] == "enqueue" else 0))
