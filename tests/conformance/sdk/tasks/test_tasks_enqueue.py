"""A task belongs to the transaction that enqueued it, and a key has one task."""

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import pytest

from millions.errors import TaskError
from millions.testing import eventually

USER = "user-1"


class UndoneError(Exception):
    pass


async def undone(process, call, *arguments, **keywords):
    """Await `call(…, session=s)` in a transaction that is rolled back."""

    async def block():
        async with process.db.write(USER) as s:
            await call(*arguments, session=s, **keywords)
            raise UndoneError

    with pytest.raises(UndoneError):
        await block()


async def test_a_committed_task_runs(process):
    record = process.recorder()
    async with process.db.write(USER) as s:
        await record.enqueue("a", session=s)
    async with process.tasks.worker():
        await eventually(lambda: process.ran["a"] == 1)
        await process.nothing_left()


async def test_a_rolled_back_task_never_runs(process):
    record = process.recorder()
    async with process.tasks.worker():
        await undone(process, record.enqueue, "undone")
        await record.enqueue("later")
        await eventually(lambda: process.ran["later"] == 1)
    assert process.ran == {"later": 1}
    assert await process.rows() == []


async def test_no_worker_sees_a_task_before_its_transaction_commits(process):
    record = process.recorder()
    async with process.tasks.worker():
        async with process.db.write(USER) as s:
            await record.enqueue("early", session=s)
            await record.enqueue("other")
            await eventually(lambda: process.ran["other"] == 1)
            assert process.ran["early"] == 0
        await eventually(lambda: process.ran["early"] == 1)


async def test_a_task_without_a_session_is_written_when_enqueue_returns(process):
    record = process.recorder()
    numbers = await asyncio.gather(*(record.enqueue(each) for each in range(50)))
    rows = await process.rows("id, arguments")
    assert {row["id"]: row["arguments"] for row in rows} == {
        number: f"[1,[{each}]]" for each, number in enumerate(numbers)
    }


async def test_many_tasks_are_enqueued_in_order_and_together(process):
    record = process.recorder()
    async with process.db.write(USER) as s:
        numbers = await process.tasks.enqueue_many(record, [(n,) for n in range(1000)], session=s)
    assert numbers == sorted(numbers)
    assert [row["id"] for row in await process.rows("id")] == numbers
    async with process.tasks.worker():
        await process.nothing_left()
    assert process.ran == dict.fromkeys(range(1000), 1)


async def test_nothing_to_enqueue_is_nothing(process):
    assert await process.tasks.enqueue_many(process.recorder(), []) == []


async def test_arguments_arrive_as_they_were_passed(process):
    got = []

    @process.tasks.task(name="types")
    async def types(*arguments, **keywords):
        got.append((arguments, keywords))

    sent = (uuid4(), datetime.now(UTC), b"\0", Decimal("1.50"), (1, [None]), {"$x": 2**70}, "é\0")
    await types.enqueue(*sent, name="Ü")
    async with process.tasks.worker():
        await eventually(lambda: got)
    assert got == [(sent, {"name": "Ü"})]


@pytest.mark.parametrize(
    "how",
    [
        pytest.param({"delay_s": -1}, id="a negative delay"),
        pytest.param({"delay_s": float("nan")}, id="no number"),
        pytest.param({"at": datetime(2030, 1, 1)}, id="a time without zone"),  # noqa: DTZ001
        pytest.param({"key": ""}, id="an empty key"),
        pytest.param({"key": "k" * 201}, id="a long key"),
        pytest.param({"key": "a\0b"}, id="a key that PostgreSQL cannot hold"),
    ],
)
async def test_a_bad_request_writes_nothing(process, how):
    record = process.recorder()
    with pytest.raises(TaskError):
        await record.enqueue("a", **how)
    assert await process.rows() == []


async def test_a_delayed_task_is_not_run_before_it_is_due(process):
    record = process.recorder()
    began = datetime.now(UTC)
    await record.enqueue("delayed", delay_s=0.8)
    await record.enqueue("at", at=began + timedelta(seconds=0.8))
    await record.enqueue("past", at=began - timedelta(days=1))
    async with process.tasks.worker():
        await eventually(lambda: process.ran["past"] == 1)
        assert datetime.now(UTC) - began > timedelta(seconds=0.8) or process.ran == {"past": 1}
        await eventually(lambda: process.ran == {"past": 1, "delayed": 1, "at": 1})
        assert datetime.now(UTC) - began > timedelta(seconds=0.8)


async def test_a_key_has_one_task(process):
    record = process.recorder()
    first = await record.enqueue("a", key="k")
    assert await record.enqueue("b", key="k") == first
    async with process.db.write(USER) as s:
        assert await record.enqueue("c", key="k", session=s) == first
    async with process.tasks.worker():
        await process.nothing_left()
        assert await record.enqueue("d", key="k") == first
        await record.enqueue("e", key="another")
        await process.nothing_left()
    assert process.ran == {"a": 1, "e": 1}


async def test_one_of_many_concurrent_tasks_of_a_key_is_written(process):
    record = process.recorder()
    numbers = await asyncio.gather(*(record.enqueue(n, key="k") for n in range(30)))
    assert len(set(numbers)) == 1
    assert len(await process.rows()) == 1


async def test_the_key_of_a_rolled_back_task_is_free(process):
    record = process.recorder()
    await undone(process, record.enqueue, "undone", key="k")
    await record.enqueue("done", key="k")
    async with process.tasks.worker():
        await process.nothing_left()
    assert process.ran == {"done": 1}


async def test_a_second_transaction_waits_for_the_outcome_of_the_first(process):
    record = process.recorder()
    began = asyncio.Event()

    async def second():
        began.set()
        return await record.enqueue("second", key="k")

    async def blocked():
        return await process.db.pool().fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            " AND datname = current_database()"
        )

    async def first(session):
        nonlocal waiting
        await record.enqueue("first", key="k", session=session)
        waiting = asyncio.create_task(second())
        await began.wait()
        await eventually(blocked)
        assert not waiting.done()

    waiting = None
    await undone(process, first)
    await waiting
    async with process.tasks.worker():
        await process.nothing_left()
    assert process.ran == {"second": 1}


async def test_a_key_is_forgotten_a_week_after_its_task_was_due(process):
    record = process.recorder()
    first = await record.enqueue("a", key="k")
    kept = await process.db.pool().fetchval(
        "SELECT kept_until - now() > interval '6 days' FROM millions.task_keys"
    )
    assert kept
    await process.db.pool().execute(
        "UPDATE millions.task_keys SET kept_until = now() - interval '1 s'"
    )
    assert await record.enqueue("b", key="k") != first


async def test_keys_of_different_tasks_are_apart(process):
    one, other = process.recorder("one"), process.recorder("other")
    assert await one.enqueue("a", key="k") != await other.enqueue("b", key="k")
