"""Taskiq on a Redis stream, acknowledging after the task ran."""

from __future__ import annotations

import asyncio
import os
import sys

from counting import Counter
from taskiq_redis import RedisStreamBroker

broker = RedisStreamBroker(url=os.environ["BENCH_URL"])
counter = Counter()


@broker.task(task_name="noop")
async def noop(_number: int) -> None:
    counter.count()


async def enqueue(tasks: int) -> None:
    await broker.startup()
    for each in range(tasks):
        await noop.kiq(each)
    await broker.shutdown()


if __name__ == "__main__":
    asyncio.run(enqueue(int(sys.argv[1])))
