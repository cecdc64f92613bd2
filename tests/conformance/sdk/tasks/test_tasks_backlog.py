"""What a worker says there is to do: what it holds, and what waits for workers like it."""

from __future__ import annotations

import asyncio
import json

from millions.sdk.tasks.backlog import COUNTED_MAX, Backlog
from millions.testing import eventually

NOTHING = {"held": 0, "done": 0, "waiting": 0, "oldest_s": 0.0}
LONG_AGO = "now() - interval '100 seconds'"


async def said(backlog):
    return json.loads(await backlog.text())


async def test_it_says_what_it_holds_and_how_long_the_oldest_of_its_queues_waits(process):
    goes_on = asyncio.Event()

    @process.tasks.task(queue="mail")
    async def waits():
        await goes_on.wait()

    other = process.recorder(name="other", queue="other")
    async with process.tasks.worker(queues=["mail"], concurrency=2) as worker:
        backlog = Backlog(worker, process.db.pool)
        assert await said(backlog) == NOTHING | {"slots": 2}
        async with process.db.write("mail") as session:
            for _ in range(5):
                await waits.enqueue(session=session)
            later = await waits.enqueue(session=session, delay_s=3600)
            await other.enqueue(1, session=session)

        async def all_seen():
            found = await said(backlog)
            return found if (found["held"], found["waiting"]) == (2, 3) else None

        found = await eventually(all_seen, within_s=20)
        assert 0 <= found["oldest_s"] < 60
        await process.db.pool().execute(
            f"UPDATE millions.tasks SET due_at = {LONG_AGO} WHERE queue = 'other' OR id ="
            " (SELECT max(id) FROM millions.tasks WHERE queue = 'mail' AND state = 0)"
        )

        async def older():
            return (await said(backlog))["oldest_s"] > 99

        await eventually(older, within_s=20)
        goes_on.set()

        async def done():
            found = await said(backlog)
            return (found["held"], found["waiting"], found["done"]) == (0, 0, 5)

        await eventually(done, within_s=20)
        assert later in [row["id"] for row in await process.rows("id")]


async def test_a_long_queue_is_counted_to_a_bound(process):
    process.recorder(queue="mail")
    async with process.tasks.worker(queues=["mail"], concurrency=1) as worker:
        await worker.stop()
        await process.db.pool().execute(
            "INSERT INTO millions.tasks (queue, name, arguments)"
            " SELECT 'mail', 'record', '[1,[]]' FROM generate_series(1, $1::int)",
            COUNTED_MAX + 5,
        )
        assert (await said(Backlog(worker, process.db.pool)))["waiting"] == COUNTED_MAX
        await process.db.pool().execute("TRUNCATE millions.tasks")
