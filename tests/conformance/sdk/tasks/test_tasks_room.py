"""What is done leaves nothing behind: rows, keys, dead letters and dead rows go in time."""

from typing import TYPE_CHECKING

from millions.sdk.tasks.vacuum import EVERY_TASKS, Vacuum
from millions.testing import eventually

if TYPE_CHECKING:
    from millions.sdk.tasks.tending import Tender


async def test_done_tasks_leave_no_rows(process):
    record = process.recorder()
    await process.tasks.enqueue_many(record, [(n,) for n in range(3000)])
    async with process.tasks.worker():
        await process.nothing_left()
    assert sum(process.ran.values()) == 3000


async def test_dead_rows_are_removed_before_there_are_many(process):
    async def vacuumed():
        return await process.db.pool().fetchval(
            "SELECT vacuum_count FROM pg_stat_user_tables WHERE relid = 'millions.tasks'::regclass"
        )

    before = await vacuumed()
    vacuum = Vacuum(process.db.listener)
    vacuum.consider(EVERY_TASKS - 1)
    assert vacuum._running is None
    vacuum.consider(EVERY_TASKS)
    await eventually(vacuum._running.done)
    running = vacuum._running
    vacuum.consider(EVERY_TASKS + 1)
    assert vacuum._running is running
    await vacuum.close()

    async def once_more():
        return await vacuumed() == before + 1

    await eventually(once_more)


async def test_old_keys_and_old_dead_letters_are_swept(process):
    pool = process.db.pool()
    await pool.execute(
        "INSERT INTO millions.task_keys VALUES ('t', 'old', 1, now() - interval '1 s'),"
        " ('t', 'fresh', 2, now() + interval '1 day')"
    )
    await pool.execute(
        "INSERT INTO millions.tasks_dead (id, enqueued_at, died_at, priority, attempts, queue,"
        " name, arguments, error) SELECT n, now(), now() - n * interval '20 days', 0, 1, 'default',"
        " 't', '[1,[]]', 'x' FROM generate_series(1, 2) AS n"
    )
    async with process.tasks.worker() as worker:
        tender: Tender = worker._tender
        tender._sweep_at_s = 0.0

        async def swept():
            keys = await pool.fetch("SELECT key FROM millions.task_keys")
            return [row["key"] for row in keys] == ["fresh"]

        await eventually(swept)
    assert [letter.id for letter in await process.tasks.dead()] == [1]


async def test_a_full_backlog_is_claimed_in_bounded_numbers(process):
    """A worker holds what it does in a moment, and leaves the rest for others."""
    record = process.recorder()
    await process.tasks.enqueue_many(record, [(n,) for n in range(20_000)])
    most = 0
    async with process.tasks.worker(concurrency=4) as worker:

        async def empty():
            nonlocal most
            most = max(most, worker.held)
            return not await process.rows("id")

        await eventually(empty, within_s=30)
    assert 4 < most <= 4 + 1000 + 2000
