"""Procrastinate on PostgreSQL; it marks a job as done after it ran."""

from __future__ import annotations

import asyncio
import os
import sys

from counting import Counter, Sending
from procrastinate import App, PsycopgConnector

app = App(connector=PsycopgConnector(conninfo=os.environ["BENCH_URL"]))
counter = Counter()


@app.task(name="noop")
async def noop(number: int) -> None:
    counter.count(number)


async def enqueue(tasks: int) -> None:
    async with app.open_async():
        try:
            await app.schema_manager.apply_schema_async()
        except Exception as error:
            if "already exists" not in str(error.__cause__ or error):
                raise
        sending = Sending(tasks)
        if sending.rate:
            async for each in sending:
                await noop.defer_async(number=each)
        else:
            await noop.batch_defer_async(*({"number": each} for each in range(tasks)))


if __name__ == "__main__":
    asyncio.run(enqueue(int(sys.argv[1])))
