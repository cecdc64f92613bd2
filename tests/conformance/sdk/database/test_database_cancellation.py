# ruff: noqa: PT012  # leaving the block is what raises
"""A cancelled task leaves no connection behind, wherever it was cancelled."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest
from album import Photo
from sqlalchemy import text

from millions.sdk.database import Database
from millions.sdk.identifiers import uuid7
from millions.testing import eventually

STEPS = 60
"""The loop's turns after which a task is cancelled: more than a block takes from end to end."""

BACKENDS = """
SELECT state FROM pg_stat_activity
WHERE datname = current_database() AND backend_type = 'client backend'
AND application_name <> 'witness'
"""


def narrow(directory, size):
    place = dataclasses.replace(directory.database, pool_size=size)
    return dataclasses.replace(directory, database=place)


async def cancel_after(turns, work):
    task = asyncio.ensure_future(work())
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    return (await asyncio.gather(task, return_exceptions=True))[0]


async def check_pool(db, witness, size):
    """All `size` connections can be had at once, and the server knows of no other."""
    pool = db._home.engine.pool
    assert pool.checkedout() == 0
    blocks = [db.read(uuid7()) for _ in range(size)]
    for block in blocks:
        session = await asyncio.wait_for(block.__aenter__(), 5)
        assert await session.scalar(text("SELECT 1")) == 1

    async def no_other():
        return len(await witness.fetch(BACKENDS)) == size

    await eventually(no_other, within_s=10)
    for block in blocks:
        await block.__aexit__(None, None, None)

    async def all_idle():
        return all(row["state"] == "idle" for row in await witness.fetch(BACKENDS))

    await eventually(all_idle, within_s=10)


async def test_a_block_cancelled_at_any_turn_leaks_nothing(millions_directory, witness):
    db = Database(checkout_s=5)
    await db.open(narrow(millions_directory, 2))

    async def work():
        async with db.write(uuid7()) as session:
            session.add(Photo(title="a"))
            await session.flush()
            await session.execute(text("SELECT pg_sleep(0.002)"))

    cancelled = 0
    for turns in range(STEPS):
        answer = await cancel_after(turns, work)
        assert answer is None or isinstance(answer, asyncio.CancelledError), answer
        cancelled += answer is not None
    assert cancelled > STEPS / 4
    await check_pool(db, witness, 2)
    await db.close()


async def test_a_connect_cancelled_at_any_turn_leaks_nothing(millions_directory, witness):
    db = Database(checkout_s=5)
    await db.open(narrow(millions_directory, 1))

    async def work():
        async with db.write(uuid7()):
            pass

    for turns in range(0, STEPS, 3):
        await db._home.engine.dispose()
        answer = await cancel_after(turns, work)
        assert answer is None or isinstance(answer, asyncio.CancelledError), answer
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
        for turns in range(0, 20, 2):
            answer = await cancel_after(turns, work)
            assert isinstance(answer, asyncio.CancelledError)
    await check_pool(db, witness, 1)
    await db.close()


async def test_a_time_limit_around_a_block_ends_it(millions_directory, witness):
    db = Database()
    await db.open(narrow(millions_directory, 1))
    undone = []
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05), db.write(uuid7()) as session:
            session.after_rollback(lambda: undone.append(True))
            await session.execute(text("SELECT pg_sleep(30)"))
    assert undone == [True]
    await check_pool(db, witness, 1)
    await db.close()
