# ruff: noqa: PT012  # leaving the block is what raises
"""A cancelled task leaves no connection behind, wherever it was cancelled."""

from __future__ import annotations

import asyncio
import dataclasses
import time

import pytest
from album import Photo
from database_doors import redirected
from proxy import Relay
from sqlalchemy import text

from millions.directory import Endpoint
from millions.sdk.database import Database
from millions.sdk.identifiers import uuid7
from millions.testing import eventually

STEPS = 60
"""So many moments, spread evenly over the time that the work takes, are tried."""

BACKENDS = """
SELECT state FROM pg_stat_activity
WHERE datname = current_database() AND backend_type = 'client backend'
AND application_name <> 'witness'
"""


def narrow(directory, size):
    place = dataclasses.replace(directory.database, pool_size=size)
    return dataclasses.replace(directory, database=place)


async def cancel_after(delay_s, work):
    """Cancel `work` after `delay_s`; whether that came before its end."""
    task = asyncio.ensure_future(work())
    await asyncio.wait({task}, timeout=delay_s)
    task.cancel()
    (answer,) = await asyncio.gather(task, return_exceptions=True)
    assert answer is None or isinstance(answer, asyncio.CancelledError), answer
    return answer is not None


async def duration_s(work):
    began = time.perf_counter()
    await work()
    return time.perf_counter() - began


async def check_pool(db, witness, size):
    """All `size` connections can be had at once, and the server knows of no other."""
    assert db._home.primary.engine.pool.checkedout() == 0

    async def all_idle():
        return all(row["state"] == "idle" for row in await witness.fetch(BACKENDS))

    await eventually(all_idle, within_s=10, saying="no transaction is left open")
    blocks = [db.read(uuid7()) for _ in range(size)]
    for block in blocks:
        session = await asyncio.wait_for(block.__aenter__(), 5)
        assert await session.scalar(text("SELECT 1")) == 1

    async def no_other():
        return len(await witness.fetch(BACKENDS)) == size

    await eventually(no_other, within_s=10, saying="no other connection is left")
    for block in blocks:
        await block.__aexit__(None, None, None)
    await eventually(all_idle, within_s=10)


async def test_a_block_cancelled_at_any_moment_leaks_nothing(millions_directory, witness):
    db = Database(checkout_s=5)
    await db.open(narrow(millions_directory, 2))

    async def work():
        async with db.write(uuid7()) as session:
            session.add(Photo(title="a"))
            await session.flush()
            await session.execute(text("SELECT pg_sleep(0.002)"))

    whole_s = min([await duration_s(work) for _ in range(5)])
    cancelled = [await cancel_after(whole_s * step / STEPS, work) for step in range(STEPS)]
    assert sum(cancelled) > STEPS / 6  # the rest was done sooner than on average
    await check_pool(db, witness, 2)
    await db.close()


async def test_a_connect_cancelled_at_any_moment_leaks_nothing(millions_directory, witness):
    db = Database(checkout_s=5)
    await db.open(narrow(millions_directory, 1))

    async def work():
        async with db.write(uuid7()):
            pass

    durations_s = []
    for _ in range(5):
        await db._home.primary.engine.dispose()
        durations_s.append(await duration_s(work))
    whole_s = min(durations_s)
    cancelled = []
    for step in range(STEPS):
        await db._home.primary.engine.dispose()
        cancelled.append(await cancel_after(whole_s * step / STEPS, work))
    assert sum(cancelled) > STEPS / 6  # the rest was done sooner than on average
    await check_pool(db, witness, 1)
    await db.close()


@pytest.mark.parametrize(
    "stall", [b"BEGIN", b"SCRAM-SHA-256", b"ROLLBACK"], ids=["begin", "connect", "rollback"]
)
async def test_a_task_cancelled_before_the_answer_leaks_nothing(millions_directory, witness, stall):
    """The server has done what was asked, and nobody heard of it."""
    async with Relay(millions_directory.database.shards[0].primary) as relay:
        db = Database()
        near = Endpoint(host="127.0.0.1", port=relay.port)
        await db.open(redirected(narrow(millions_directory, 1), near, pool_size=1))
        if stall == b"SCRAM-SHA-256":
            await db._home.primary.engine.dispose()

        async def work():
            async with db.read(uuid7()):
                pass

        relay.stall = stall
        task = asyncio.ensure_future(work())
        await eventually(lambda: relay.stalled)
        task.cancel()
        relay.stall = b""
        with pytest.raises(asyncio.CancelledError):
            await task
        await check_pool(db, witness, 1)
        await db.close()


async def test_a_task_cancelled_while_it_waits_for_a_connection_leaks_nothing(
    millions_directory, witness
):
    db = Database(checkout_s=5)
    await db.open(narrow(millions_directory, 1))

    async def work():
        async with db.write(uuid7()):
            pass

    async with db.read(uuid7()):
        for step in range(10):
            assert await cancel_after(step / 1000, work)
    await check_pool(db, witness, 1)
    await db.close()


async def test_a_time_limit_around_a_block_ends_it(millions_directory, witness):
    db = Database()
    await db.open(narrow(millions_directory, 1))
    undone = []
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(None) as limit, db.write(uuid7()) as session:
            session.after_rollback(lambda: undone.append(True))
            limit.reschedule(asyncio.get_running_loop().time() + 0.05)
            await session.execute(text("SELECT pg_sleep(30)"))
    assert undone == [True]
    await check_pool(db, witness, 1)
    await db.close()
