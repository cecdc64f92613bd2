"""Opens events in each form: carried by the database, and by a broker beside it.

`process` is what one process of a stack has; `another_process` makes more of them.
"""

import asyncio
import dataclasses
import os
import secrets
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import pytest
import pytest_asyncio

from millions.directory import Directory, QueuePlace
from millions.errors import MachineError
from millions.sdk.database import Database
from millions.sdk.events import Events
from millions.testing import directory_for, eventually
from millions.testing.nats import EmbeddedNats

FORMS = ["embedded", "distributed"]


@dataclass
class Process:
    """One process of the stack: its nouns, and what its readers heard."""

    db: Database
    events: Events
    stack: AsyncExitStack
    heard: list = field(default_factory=list)

    async def listens(self, *patterns, **more):
        """Begin to hear; what is heard comes into `heard`."""
        heard = await self.stack.enter_async_context(self.events.subscribe(*patterns, **more))

        async def read():
            async for event in heard:
                self.heard.append(event)

        task = asyncio.create_task(read())
        self.stack.callback(task.cancel)
        return heard

    def data(self):
        return [each.data for each in self.heard if not each.missed]

    @property
    def missed(self):
        return sum(each.missed for each in self.heard)

    async def connected(self):
        """Wait until it is connected to the broker, and has said so to those who listen."""
        await eventually(lambda: self.events._was_up and self.events._link.connected, within_s=30)


@pytest.fixture(scope="session")
def events_directory(millions_postgres, millions_folder):
    name = f"events_{secrets.token_hex(4)}"
    yield directory_for(millions_postgres.create_database(name), millions_folder / name)
    millions_postgres.drop_database(name)


@pytest.fixture
def broker(tmp_path):
    server = EmbeddedNats(tmp_path / "nats")
    try:
        server.start()
    except MachineError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    yield server
    server.stop()


@pytest.fixture(params=FORMS)
def directory(request, events_directory) -> Directory:
    if request.param == "embedded":
        return events_directory
    server = request.getfixturevalue("broker")
    return dataclasses.replace(events_directory, queue=server.place)


@pytest.fixture
def distributed(broker, events_directory) -> Directory:
    return dataclasses.replace(events_directory, queue=broker.place)


@pytest_asyncio.fixture(loop_scope="session")
async def opens():
    """Opens processes on a directory of one's own choice."""
    async with AsyncExitStack() as stack:

        async def open_one(place: Directory) -> Process:
            db = Database()
            await db.open(place)
            stack.push_async_callback(db.close)
            events = Events(db)
            await events.open(place)
            stack.push_async_callback(events.close)
            own = await stack.enter_async_context(AsyncExitStack())
            process = Process(db, events, own)
            if place.queue != QueuePlace():
                await process.connected()
            return process

        yield open_one


@pytest_asyncio.fixture(loop_scope="session")
async def another_process(directory, opens):  # in this order: processes end before their broker
    async def open_one() -> Process:
        return await opens(directory)

    return open_one


@pytest_asyncio.fixture(loop_scope="session")
async def process(another_process):
    return await another_process()
