"""Opens tasks in each form: one parameter a form, and every law holds for all of them.

`process` is what one process of a stack has; `another_process` makes more of them on the same
database, with connections and declarations of their own.
"""

import dataclasses
import os
import secrets
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import pytest
import pytest_asyncio

from millions.errors import MachineError
from millions.sdk import schema
from millions.sdk.database import Database
from millions.sdk.tasks import SCHEMA, Tasks
from millions.testing import directory_for, eventually
from millions.testing.nats import EmbeddedNats

FORMS = ["embedded", "distributed"]
TABLES = "tasks, tasks_dead, task_keys, task_schedules, task_workers, task_results, task_counts"


@dataclass
class Process:
    """One process of the stack: its nouns, and what its tasks did."""

    db: Database
    tasks: Tasks
    ran: Counter = field(default_factory=Counter)

    def recorder(self, name="record", **bounds):
        """Declare a task that counts its arguments in `ran`."""

        async def record(value):
            self.ran[value] += 1

        return self.tasks.task(name=name, **bounds)(record)

    async def rows(self, columns="*", where="true"):
        return await self.db.pool().fetch(
            f"SELECT {columns} FROM millions.tasks WHERE {where} ORDER BY id"
        )

    async def nothing_left(self, within_s=10):
        """Wait until no task is in the table."""

        async def empty():
            return not await self.rows("name, state, attempt, error")

        await eventually(empty, within_s=within_s)


@pytest.fixture(scope="session")
def tasks_directory(millions_postgres, millions_folder):
    name = f"tasks_{secrets.token_hex(4)}"
    yield directory_for(millions_postgres.create_database(name), millions_folder / name)
    millions_postgres.drop_database(name)


@pytest.fixture(scope="session")
def broker(millions_folder):
    server = EmbeddedNats(millions_folder / "nats")
    try:
        server.start()
    except MachineError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    yield server
    server.stop()


WOKEN = {
    **dict.fromkeys(("test_tasks_enqueue", "test_tasks_worker", "test_hints"), FORMS),
    "test_hints_broker": FORMS[1:],
}
"""Laws about waking hold for both forms; the others never ask who carried a hint."""


def pytest_generate_tests(metafunc):
    if "form" in metafunc.fixturenames:
        forms = WOKEN.get(metafunc.module.__name__, FORMS[:1])
        metafunc.parametrize("form", forms, indirect=True)


@pytest.fixture
def form(request, tasks_directory):
    """The directory of a form: the database alone, or a message queue beside it."""
    if request.param == "embedded":
        return tasks_directory
    server = request.getfixturevalue("broker")
    return dataclasses.replace(tasks_directory, queue=server.place)


@pytest_asyncio.fixture(loop_scope="session")
async def another_process(form):
    async with AsyncExitStack() as stack:

        async def open_one():
            db = Database()
            await db.open(form)
            stack.push_async_callback(db.close)
            tasks = Tasks(db)
            await tasks.open(form)
            stack.push_async_callback(tasks.close)
            if form.queue.servers:
                await eventually(lambda: tasks._wake._link.connected)
            return Process(db, tasks)

        yield open_one


@pytest_asyncio.fixture(loop_scope="session")
async def process(another_process):
    process = await another_process()
    async with process.db.pool().acquire() as connection:
        await schema.ensure(connection, SCHEMA)
        await connection.execute(
            "TRUNCATE " + ", ".join(f"millions.{name}" for name in TABLES.split(", "))
        )
    return process
