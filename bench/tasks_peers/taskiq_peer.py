"""Taskiq on a Redis stream, acknowledging after the task ran."""

from __future__ import annotations

import asyncio
import os
import sys

from counting import Counter, Sending
from taskiq_redis import RedisStreamBroker

BACK_S = float(os.environ.get("BENCH_BACK_S", "0"))
BACK = {"idle_timeout": int(BACK_S * 1000)} if BACK_S else {}
broker = RedisStreamBroker(url=os.environ["BENCH_URL"], **BACK)
counter = Counter()


@broker.task(task_name="noop")
async def noop(number: int) -> None:
    counter.count(number)


async def enqueue(tasks: int) -> None:
    await broker.startup()
    async for each in Sending(tasks):
        await noop.kiq(each)
    await broker.shutdown()


if __name__ == "__main__":
    asyncio.run(enqueue(int(sys.argv[1])))
