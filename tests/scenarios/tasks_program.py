"""A process that works on tasks until it is stopped or killed. Started by the scenarios.

Each task writes down that it ran, and where: the proof is counted in the database.
"""

import asyncio
import os
import signal
import sys
import time

from millions import directory
from millions.sdk.database import Database
from millions.sdk.tasks import Tasks

db = Database()
tasks = Tasks(db)
RAN = "INSERT INTO runs (value, pid, way) VALUES ($1, $2, $3)"


@tasks.task(name="plain")
async def plain(value):
    await db.pool().execute(RAN, value, os.getpid(), "plain")


@tasks.task(name="threaded")
def threaded(value):
    loop = loops[0]
    call = db.pool().execute(RAN, value, os.getpid(), "threaded")
    asyncio.run_coroutine_threadsafe(call, loop).result(10)


@tasks.task(name="once")
async def once(value):
    async with db.write("user-1") as s:
        await s.run_sync(
            lambda inner: inner.connection().exec_driver_sql(RAN, (value, os.getpid(), "once"))
        )
        await tasks.current().complete_in(s)


@tasks.task(name="block", time_limit_s=1, retries=0)
async def block(value):
    await db.pool().execute(RAN, value, os.getpid(), "block")
    time.sleep(60)  # noqa: ASYNC251  # sleeps: it imitates a task that blocks the event loop


loops = []


async def main(*, exits_when_blocked):
    loops.append(asyncio.get_running_loop())
    stopped = asyncio.Event()
    loops[0].add_signal_handler(signal.SIGTERM, stopped.set)
    place = directory.read(os.environ["MILLIONS_DIRECTORY"])
    await db.open(place)
    await tasks.open(place)
    async with tasks.worker(concurrency=8, exits_when_blocked=exits_when_blocked):
        await stopped.wait()
    await tasks.close()
    await db.close()


if __name__ == "__main__":
    asyncio.run(main(exits_when_blocked="--exit" in sys.argv))
