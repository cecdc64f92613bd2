"""Priorities go first, queues are apart, schedules tick once, and hints arrive before polls."""

import asyncio
from datetime import UTC, datetime

import pytest

from millions.sdk.tasks import statements
from millions.sdk.tasks import worker as workers
from millions.testing import eventually


async def test_higher_priorities_run_first_and_equal_ones_in_order(process):
    order = []

    def declare(priority, queue):
        async def note(n):
            order.append((priority, n))

        return process.tasks.task(name=f"{queue}{priority}", priority=priority, queue=queue)(note)

    declared = [declare(priority, "default") for priority in (0, -2, 2, 1)]
    for n in range(20):
        for task in declared:
            await task.enqueue(n)
    async with process.tasks.worker(concurrency=1):
        await process.nothing_left()
    assert order == [(priority, n) for priority in (2, 1, 0, -2) for n in range(20)]


async def test_a_worker_works_on_its_queues_only(process):
    mail, other = process.recorder("mail", queue="mail"), process.recorder("other", queue="other")
    await other.enqueue("other")
    await mail.enqueue("mail")
    async with process.tasks.worker(queues=["mail"]):

        async def only_the_other_is_left():
            return [row["queue"] for row in await process.rows("queue")] == ["other"]

        await eventually(only_the_other_is_left)
    assert process.ran == {"mail": 1}


async def test_queues_of_equal_priority_take_turns(process):
    order = []
    for queue in ("one", "two"):

        async def note(n, queue=queue):
            order.append(queue)

        task = process.tasks.task(name=queue, queue=queue)(note)
        await process.tasks.enqueue_many(task, [(n,) for n in range(300)])
    async with process.tasks.worker(concurrency=4):
        await process.nothing_left()
    assert set(order[:40]) == {"one", "two"}


async def test_a_task_starts_in_another_process_long_before_a_poll(
    process, another_process, monkeypatch
):
    monkeypatch.setattr(workers, "POLL_S", 60.0)
    other = await another_process()
    process.recorder()
    started = asyncio.Event()

    @other.tasks.task(name="record")
    async def record(value):
        started.set()

    async with other.tasks.worker() as worker:
        await eventually(lambda: worker.connected)
        for n in range(5):
            started.clear()
            await process.tasks._registry.tasks["record"].enqueue(n)
            await asyncio.wait_for(started.wait(), 10)


async def test_a_hint_that_is_lost_is_made_good_by_a_poll(process):
    record = process.recorder()
    async with process.tasks.worker():
        await record.enqueue("first")
        await process.nothing_left()
        await process.db.pool().execute(
            "INSERT INTO millions.tasks (queue, name, arguments)"
            " VALUES ('default', 'record', '[1,[7]]')"
        )
        await eventually(lambda: process.ran[7] == 1, within_s=15)


async def test_each_tick_is_enqueued_once_over_all_processes(process, another_process):
    processes = [process, *[await another_process() for _ in range(3)]]
    ticks = []
    for each in processes:

        @each.tasks.cron("* * * * * *")
        async def every_second(each=each):
            ticks.append(each.tasks.current().due_at)

    workers = [each.tasks.worker() for each in processes]
    await asyncio.gather(*(worker.__aenter__() for worker in workers))
    await eventually(lambda: len(ticks) >= 3)
    await asyncio.gather(*(worker.stop() for worker in workers))
    await process.nothing_left()
    assert len(ticks) == len(set(ticks))
    assert all(tick.microsecond == 0 for tick in ticks)


async def test_a_new_schedule_begins_with_its_next_tick(process):
    @process.tasks.cron("0 0 1 1 *")
    async def yearly():
        process.ran["yearly"] += 1

    record = process.recorder()
    async with process.tasks.worker():
        await record.enqueue("a")
        await eventually(lambda: process.ran["a"] == 1)

        async def introduced():
            return await process.db.pool().fetchval(
                "SELECT count(*) FROM millions.task_schedules WHERE last_at > now() - interval '1m'"
            )

        assert await introduced() == 1
    assert await process.rows() == []
    assert process.ran == {"a": 1}


def this_hour():
    return datetime.now(UTC).replace(minute=0, second=0, microsecond=0)


async def test_ticks_that_passed_while_nobody_ran_are_made_up_for_by_one(process):
    due = []

    @process.tasks.cron("0 * * * *")
    async def hourly():
        due.append(process.tasks.current().due_at)

    await process.db.pool().execute(
        "INSERT INTO millions.task_schedules VALUES ($1, now() - interval '5 hours')",
        hourly.bounds.name,
    )
    before = this_hour()
    async with process.tasks.worker():
        await eventually(lambda: due)
        await process.nothing_left()
    assert due in ([before], [this_hour()], [before, this_hour()])  # an hour may begin meanwhile


@pytest.mark.parametrize(
    ("statement", "types", "values"),
    [
        pytest.param(
            statements.EXCHANGE,
            "int, bigint[], text, text[], smallint[], bigint[], int, bigint[]",
            "1, '{1,2}', 'on', '{default}', '{0}', '{0}', 10, '{10}'",
            id="claim",
        ),
        pytest.param(statements.PROMOTE, "int", "10", id="promote"),
        pytest.param(statements.BURY, "int, bigint[], text[]", "1, '{1}', '{x}'", id="bury"),
    ],
)
async def test_statements_never_read_the_whole_table(process, statement, types, values):
    """Whatever the statistics say: they are those of an empty table when a backlog builds up."""
    connection = await process.db.listener()
    try:
        await connection.execute(statements.SESSION)
        await connection.execute(f"PREPARE it ({types}) AS {statement}")
        lines = [row[0] for row in await connection.fetch(f"EXPLAIN EXECUTE it ({values})")]
    finally:
        await connection.close()
    plan = "\n".join(lines)
    assert "Seq Scan" not in plan
    assert "Sort" not in plan
    assert "Bitmap" not in plan
    assert "Index Scan using tasks_" in plan


async def test_statistics_count_every_state(process):
    record = process.recorder()
    holding, release = asyncio.Event(), asyncio.Event()

    @process.tasks.task(name="hold", queue="held")
    async def hold():
        holding.set()
        await release.wait()

    await hold.enqueue()
    await record.enqueue("waits", delay_s=60)
    await record.enqueue("ready")
    async with process.tasks.worker(queues=["held"]):
        await holding.wait()
        found = await process.tasks.statistics()
        release.set()
    assert (found.ready, found.waiting, found.running) == (1, 1, 1)
    assert (found.workers, found.dead) == (1, 0)
    assert [each.queue for each in found.queues] == ["default", "held"]
    assert found.queues[0].oldest_s >= 0
