"""X must Y: a killed worker must lose no task, and repeat none but those that it held."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from millions.sdk import schema
from millions.sdk.database import Database
from millions.sdk.tasks import SCHEMA, Tasks
from millions.testing import eventually

PROGRAM = Path(__file__).parent / "tasks_program.py"
WAYS = ("plain", "threaded", "once")


class Workers:
    """Real processes, stopped by pid."""

    def __init__(self, folder, directory):
        self.place = folder / "directory.json"
        self.place.write_text(directory.text())
        self.log = (folder / "workers.log").open("ab")
        self.running = []
        self.killed = set()

    def start(self, *arguments):
        process = subprocess.Popen(
            [sys.executable, str(PROGRAM), *arguments],
            env={**os.environ, "MILLIONS_DIRECTORY": str(self.place)},
            stdout=self.log,
            stderr=self.log,
        )
        self.running.append(process)
        return process

    def kill(self, process):
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        self.running.remove(process)
        self.killed.add(process.pid)

    def stop_all(self):
        for process in self.running:
            process.terminate()
        for process in self.running:
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)
        self.log.close()


@pytest.fixture
async def db(millions_directory):
    db = Database()
    await db.open(millions_directory)
    async with db.pool().acquire() as connection:
        await schema.ensure(connection, SCHEMA)
        await connection.execute(
            "CREATE TABLE runs (value int, pid int, way text, at timestamptz DEFAULT now())"
        )
    yield db
    await db.close()


@pytest.fixture
async def tasks(db, millions_directory):
    tasks = Tasks(db)
    await tasks.open(millions_directory)
    yield tasks
    await tasks.close()


@pytest.fixture
def workers(tmp_path, millions_directory):
    workers = Workers(tmp_path, millions_directory)
    yield workers
    workers.stop_all()


def declared(tasks, name):
    async def elsewhere(value):
        raise NotImplementedError

    return tasks.task(name=name)(elsewhere)


class UndoneError(Exception):
    pass


async def enqueue_in_a_transaction(db, tasks, task, values, *, undo):
    async with db.write("user-1") as s:
        await tasks.enqueue_many(task, [(value,) for value in values], session=s)
        if undo:
            raise UndoneError


async def test_killed_workers_must_lose_nothing_and_repeat_only_what_they_held(db, tasks, workers):
    ways = [declared(tasks, name) for name in WAYS]
    for _ in range(3):
        workers.start()
    expected = {}
    kills, held = 8, 0
    for number in range(kills * 10):
        values = range(number * 100, number * 100 + 100)
        way = ways[number % 3]
        undo = number % 7 == 3
        try:
            await enqueue_in_a_transaction(db, tasks, way, values, undo=undo)
        except UndoneError:
            assert undo
        if not undo:
            expected |= dict.fromkeys(values, way.bounds.name)
        if number % 10 == 9:
            await ran_more(db, 50)
            held += await killed_while_holding(db, workers)
            workers.start()

    async def none_left():
        return await db.pool().fetchval("SELECT count(*) = 0 FROM millions.tasks")

    await eventually(none_left, within_s=60)
    rows = await db.pool().fetch(
        "SELECT value, min(way) AS way, array_agg(pid) AS pids FROM runs GROUP BY value"
    )
    found = {row["value"]: row["way"] for row in rows}
    repeated = [row for row in rows if len(row["pids"]) > 1]
    assert len(workers.killed) == kills
    assert found == expected
    assert await tasks.dead() == []
    assert [row for row in repeated if row["way"] == "once"] == []
    assert [row for row in repeated if not workers.killed & set(row["pids"])] == []
    assert held > 0
    assert len(repeated) <= held


async def killed_while_holding(db, workers):
    """Kill the oldest worker; answer how many tasks it held at that moment."""
    victim = workers.running[0]
    workers.kill(victim)
    return await db.pool().fetchval(
        "SELECT count(*) FROM millions.tasks AS task JOIN millions.task_workers AS worker"
        " ON task.worker = worker.id WHERE worker.name LIKE $1",
        f"% {victim.pid}",
    )


async def ran_more(db, count):
    """Wait until `count` more tasks ran: the workers are in the midst of it."""
    before = await db.pool().fetchval("SELECT count(*) FROM runs")

    async def more():
        now, left = await db.pool().fetchrow(
            "SELECT (SELECT count(*) FROM runs), (SELECT count(*) FROM millions.tasks)"
        )
        return now >= before + count or not left

    await eventually(more, within_s=30)


async def test_a_killed_workers_tasks_must_run_elsewhere_within_seconds(db, tasks, workers):
    task = declared(tasks, "block")
    first = workers.start()
    number = await task.enqueue(1)

    async def runs():
        return await db.pool().fetch("SELECT pid, at FROM runs ORDER BY at")

    await eventually(runs, within_s=30)
    second = workers.start()

    async def two():
        return (await tasks.statistics()).workers == 2

    await eventually(two, within_s=30)
    workers.kill(first)

    async def elsewhere():
        return [row["pid"] for row in await runs()] == [first.pid, second.pid]

    await eventually(elsewhere, within_s=10)
    workers.kill(second)
    assert number


async def test_a_worker_whose_loop_is_blocked_must_say_so_and_end(db, tasks, workers, tmp_path):
    await declared(tasks, "block").enqueue(1)
    process = workers.start("--exit")
    assert await asyncio.to_thread(process.wait, 30) == 70
    workers.running.remove(process)
    said = (tmp_path / "workers.log").read_text()
    assert "the event loop is blocked" in said
    assert '"task":"block"' in said
    assert "time.sleep(60)" in said
