"""ARQ on Redis, at least once, forgetting results at once."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any, ClassVar

from arq import create_pool
from arq.connections import RedisSettings
from counting import Counter

SETTINGS = RedisSettings.from_dsn(os.environ["BENCH_URL"])
counter = Counter()


async def noop(_context: dict[str, Any], _number: int) -> None:
    counter.count()


class WorkerSettings:
    """What `arq` reads: as many jobs at once as helped, the shortest pause between polls."""

    functions: ClassVar[list[Any]] = [noop]
    redis_settings = SETTINGS
    max_jobs = 100
    poll_delay = 0.01
    keep_result = 0


async def enqueue(tasks: int) -> None:
    pool = await create_pool(SETTINGS)
    for each in range(tasks):
        await pool.enqueue_job("noop", each)
    await pool.aclose()


if __name__ == "__main__":
    asyncio.run(enqueue(int(sys.argv[1])))
