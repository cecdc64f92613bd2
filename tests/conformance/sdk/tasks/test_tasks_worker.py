"""A worker stops gracefully, outlives its connection, and is noticed when it dies."""

import asyncio
import threading
from contextvars import ContextVar

import pytest

from millions.errors import TaskError
from millions.sdk import requests
from millions.sdk.tasks.lane import Lane
from millions.testing import eventually

USER = "user-1"
left_behind = ContextVar("left_behind", default=None)


async def cut(process):
    """End every connection of a worker, as a restart of the server does."""
    await process.db.pool().execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name LIKE '% listener'"
    )


async def test_a_stopping_worker_finishes_what_runs(process):
    began, finish = asyncio.Event(), asyncio.Event()

    @process.tasks.task(name="slow")
    async def slow():
        began.set()
        await finish.wait()
        process.ran["slow"] += 1

    await slow.enqueue()
    worker = process.tasks.worker()
    await worker.__aenter__()
    await began.wait()
    stopping = asyncio.create_task(worker.stop())
    record = process.recorder()
    await record.enqueue("not by this one")
    finish.set()
    await stopping
    assert process.ran == {"slow": 1}
    assert [row["name"] for row in await process.rows("name")] == ["record"]


async def test_a_stopping_worker_gives_back_what_does_not_finish(process):
    began = asyncio.Event()
    blocked = threading.Event()

    @process.tasks.task(name="endless")
    async def endless():
        began.set()
        await asyncio.Event().wait()

    @process.tasks.task(name="in_a_thread")
    def in_a_thread():
        blocked.wait(30)

    await in_a_thread.enqueue()
    await endless.enqueue()
    record = process.recorder()
    await process.tasks.enqueue_many(record, [(n,) for n in range(50)])
    worker = process.tasks.worker(concurrency=2, drain_s=0.1)
    try:
        await worker.__aenter__()
        await began.wait()
        await worker.stop()
    finally:
        blocked.set()
    rows = await process.rows("name, state, attempt, worker")
    assert len(rows) == 52
    assert {tuple(row)[1:] for row in rows} == {(0, 0, None)}
    assert process.ran == {}
    assert (await process.tasks.statistics()).workers == 0


async def test_a_worker_signs_off_with_nothing_although_it_could_not_say_how_its_tasks_went(
    process, another_process, monkeypatch
):
    """As when the database does not answer until the very end: the outcomes are never told."""
    other = await another_process()
    process.recorder()
    record = other.recorder()
    worker = process.tasks.worker(drain_s=0.05)
    exchange = worker._lane.exchange

    async def unheard(done, lines, wanted):
        if done:
            await asyncio.Event().wait()
        return await exchange(done, lines, wanted)

    monkeypatch.setattr(Lane, "exchange", staticmethod(unheard))
    await worker.__aenter__()
    await record.enqueue("a")
    await eventually(lambda: process.ran == {"a": 1})
    await worker.stop()
    assert [tuple(row) for row in await process.rows("state, worker")] == [(0, None)]
    monkeypatch.undo()
    async with other.tasks.worker():
        await eventually(lambda: other.ran == {"a": 1})


async def test_what_a_stopped_worker_gave_back_runs_elsewhere_at_once(process, another_process):
    other = await another_process()
    began = asyncio.Event()

    @process.tasks.task(name="record")
    async def endless(value):
        began.set()
        await asyncio.Event().wait()

    other.recorder()
    worker = process.tasks.worker(drain_s=0.05)
    await worker.__aenter__()
    await endless.enqueue("a")
    await began.wait()
    async with other.tasks.worker():
        await worker.stop()
        await eventually(lambda: other.ran["a"] == 1, within_s=15)


async def test_a_worker_outlives_its_connection_and_runs_nothing_twice(process):
    record = process.recorder()
    began, finish = asyncio.Event(), asyncio.Event()

    @process.tasks.task(name="slow")
    async def slow():
        process.ran["slow"] += 1
        began.set()
        await finish.wait()

    async with process.tasks.worker() as worker:
        await slow.enqueue()
        await began.wait()
        for n in range(5):
            await process.tasks.enqueue_many(record, [((n, each),) for each in range(200)])
            await cut(process)
            await eventually(lambda: worker.connected)
        finish.set()
        await process.nothing_left()
    assert process.ran["slow"] == 1
    assert all(process.ran[n, each] >= 1 for n in range(5) for each in range(200))
    assert await process.tasks.dead() == []


async def test_what_ran_while_the_connection_broke_is_acknowledged_afterwards(process):
    @process.tasks.task(name="cutting")
    async def cutting():
        process.ran["cutting"] += 1
        await cut(process)

    await cutting.enqueue()
    async with process.tasks.worker():
        await process.nothing_left()
    assert process.ran == {"cutting": 1}


async def test_a_claim_whose_answer_was_lost_runs_after_all(process):
    record = process.recorder()
    async with process.tasks.worker() as worker:
        await process.db.pool().execute(
            "INSERT INTO millions.tasks (queue, name, arguments, state, attempt, worker)"
            " SELECT 'default', 'record', '[1,[7]]', 2, 1, id FROM millions.task_workers"
        )
        await record.enqueue("other")
        await eventually(lambda: process.ran["other"] == 1)
        assert process.ran[7] == 0
        await cut(process)
        await process.nothing_left()
        assert worker.connected
    assert process.ran == {"other": 1, 7: 1}


async def test_a_worker_comes_back_as_itself_when_its_connection_breaks(process):
    process.recorder()
    numbers = "SELECT id FROM millions.task_workers"
    async with process.tasks.worker():
        before = await process.db.pool().fetchval(numbers)
        await cut(process)

        async def locked():
            return await process.db.pool().fetchval(
                "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = $1::int::oid"
                " AND granted",
                before,
            )

        await eventually(locked)
        assert await process.db.pool().fetchval(numbers) == before


async def test_what_a_dead_worker_held_runs_elsewhere_within_seconds(process):
    record = process.recorder()
    number = await record.enqueue("a")
    await process.db.pool().execute(
        "WITH gone AS (INSERT INTO millions.task_workers (name) VALUES ('gone') RETURNING id)"
        " UPDATE millions.tasks SET state = 2, attempt = 1, worker = gone.id FROM gone"
    )
    async with process.tasks.worker():
        await eventually(lambda: process.ran["a"] == 1, within_s=15)
        await process.nothing_left()
        assert (await process.tasks.statistics()).workers == 1
    assert number


async def test_a_task_that_kills_every_worker_becomes_a_dead_letter(process):
    record = process.recorder()
    await record.enqueue("deadly")
    await record.enqueue("innocent")
    await process.db.pool().execute(
        "WITH gone AS (INSERT INTO millions.task_workers (name) VALUES ('gone') RETURNING id)"
        " UPDATE millions.tasks SET state = 2, attempt = 1, worker = gone.id,"
        " losses = CASE WHEN arguments LIKE '%deadly%' THEN 5 ELSE 0 END FROM gone"
    )
    async with process.tasks.worker():
        await process.nothing_left()
        (letter,) = await process.tasks.dead()
    assert "died 6 times" in letter.error
    assert process.ran == {"innocent": 1}


class Frozen:
    """A task that goes on whatever happens to its worker, and then completes."""

    def __init__(self, process):
        self.began, self.finish, self.errors = asyncio.Event(), asyncio.Event(), []
        self.process = process
        self.task = process.tasks.task(name="record")(self.run)

    async def run(self, _value):
        self.began.set()
        while not self.finish.is_set():
            try:
                await self.finish.wait()
            except asyncio.CancelledError:
                continue
        try:
            async with self.process.db.write(USER) as s:
                await self.process.tasks.current().complete_in(s)
        except TaskError as error:
            self.errors.append(error)


async def test_a_worker_that_is_silent_for_its_lease_loses_its_tasks(process, another_process):
    """Its connection lives, but it says nothing: a blocked loop, a machine that vanished."""
    other, frozen, over = await another_process(), Frozen(process), asyncio.Event()

    @other.tasks.task(name="record")
    async def record(value):
        other.ran[value] += 1
        await over.wait()

    async def two_workers():
        return (await process.tasks.statistics()).workers == 2

    async with process.tasks.worker() as worker:
        await frozen.task.enqueue("a")
        await frozen.began.wait()
        worker._beat_at_s = float("inf")  # it falls silent
        await process.db.pool().execute(
            "UPDATE millions.task_workers SET seen_at = now() - interval '31 seconds'"
        )
        async with other.tasks.worker():
            await eventually(lambda: other.ran["a"] == 1)
            worker._beat_at_s = 0.0
            worker.look_again()
            frozen.finish.set()
            await eventually(lambda: frozen.errors)
            over.set()
            await other.nothing_left()
            await eventually(two_workers)
    assert other.ran == {"a": 1}


@pytest.fixture
async def effects(process):
    await process.db.pool().execute(
        "CREATE TABLE IF NOT EXISTS effects (value text); TRUNCATE effects"
    )

    async def read():
        rows = await process.db.pool().fetch("SELECT value FROM effects ORDER BY value")
        return [row["value"] for row in rows]

    return read


async def effect(session, value):
    await session.run_sync(
        lambda inner: inner.connection().exec_driver_sql(
            "INSERT INTO effects VALUES ($1)", (value,)
        )
    )


async def test_an_effect_and_its_acknowledgement_are_one_transaction(process, effects):
    @process.tasks.task(name="once", retries=1)
    async def once(value):
        async with process.db.write(USER) as s:
            await effect(s, value)
            await process.tasks.current().complete_in(s)
        assert process.tasks.current().completed
        raise RuntimeError("too late to matter")

    await once.enqueue("a")
    async with process.tasks.worker():
        await process.nothing_left()
    assert await effects() == ["a"]
    assert await process.tasks.dead() == []


async def test_a_completion_that_is_rolled_back_is_none(process, effects):
    @process.tasks.task(name="again", retries=1)
    async def again(value):
        async with process.db.write(USER) as s:
            await effect(s, value)
            await process.tasks.current().complete_in(s)
            if process.tasks.current().attempt == 1:
                raise RuntimeError("rolled back")

    await again.enqueue("a")
    async with process.tasks.worker():

        async def waits():
            return await process.rows("error", "state = 1")

        (row,) = await eventually(waits)
        assert "rolled back" in row["error"]
        await process.db.pool().execute("UPDATE millions.tasks SET due_at = now()")
        await process.nothing_left()
    assert await effects() == ["a"]


async def test_a_task_knows_its_request_its_attempt_and_nothing_of_other_tasks(process):
    seen = []

    def look():
        mine = process.tasks.current()
        seen.append((mine.name, mine.attempt, mine.key, requests.request_id(), left_behind.get()))
        left_behind.set("by another task")

    @process.tasks.task(name="async")
    async def in_the_loop():
        look()

    @process.tasks.task(name="thread")
    def in_a_thread():
        look()

    token = requests.enter(requests.Request("abcdefgh", {"type": "http"}, 0.0))
    try:
        await in_the_loop.enqueue(key="k")
        await in_a_thread.enqueue()
    finally:
        requests.leave(token)
    await in_the_loop.enqueue()
    async with process.tasks.worker():
        await process.nothing_left()
    assert sorted(seen, key=str) == [
        ("async", 1, "k", "abcdefgh", None),
        ("async", 1, None, None, None),
        ("thread", 1, None, "abcdefgh", None),
    ]


async def test_no_more_tasks_run_at_once_than_allowed(process):
    now, most = 0, 0

    @process.tasks.task(name="count")
    async def count(n):
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.001)
        now -= 1

    await process.tasks.enqueue_many(count, [(n,) for n in range(200)])
    async with process.tasks.worker(concurrency=3):
        await process.nothing_left()
    assert most == 3


async def test_slow_tasks_are_shared_with_workers_that_are_free(process, another_process):
    other = await another_process()
    release = asyncio.Event()
    for each in (process, other):

        @each.tasks.task(name="slow")
        async def slow(n, each=each):
            each.ran[n] += 1
            await release.wait()

    task = process.tasks._registry.tasks["slow"]
    await process.tasks.enqueue_many(task, [(n,) for n in range(8)])
    async with process.tasks.worker(concurrency=4), other.tasks.worker(concurrency=4):
        await eventually(lambda: len(process.ran) == len(other.ran) == 4)
        release.set()
        await process.nothing_left()
    assert sorted([*process.ran, *other.ran]) == list(range(8))
