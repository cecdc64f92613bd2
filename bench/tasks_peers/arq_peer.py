"""ARQ on Redis; a job leaves its queue after it ran."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

import uvloop
from arq import create_pool
from arq.connections import RedisSettings
from counting import Counter, Sending

BACK_S = float(os.environ.get("BENCH_BACK_S", "0"))
counter = Counter()
asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())


async def noop(_context: dict[str, Any], number: int) -> None:
    counter.count(number)


class WorkerSettings:
    """What `arq` reads; the rest is as it is by default."""

    functions = (noop,)
    redis_settings = RedisSettings.from_dsn(os.environ["BENCH_URL"])
    max_jobs = 100
    keep_result = 0
    log_results = False
    poll_delay = float(os.environ.get("BENCH_POLL_S", "0.5"))
    if BACK_S:
        job_timeout = BACK_S


async def enqueue(tasks: int) -> None:
    pool = await create_pool(WorkerSettings.redis_settings)
    async for number in Sending(tasks):
        await pool.enqueue_job("noop", number)
    await pool.aclose()


if __name__ == "__main__":
    asyncio.run(enqueue(int(sys.argv[1])))
