"""A cache server that answers late costs one short wait, and is a miss then."""

import asyncio
import dataclasses
import time
import uuid

import pytest
import pytest_asyncio
from cache_places import epochs
from slow_server import slow

from millions.directory import CachePlace
from millions.sdk.valkey.wire import DEADLINE_S, READ_FIRST_S
from millions.testing import eventually

KEY = uuid.uuid4()
SLACK_S = 3
"""What a busy machine may add."""


@pytest_asyncio.fixture(loop_scope="session")
async def relay(all_servers):
    server = all_servers[0]
    if server.process is None:
        server.start()
    server.ask("FLUSHALL")
    async with slow(server.place, 0.0) as made:
        yield made


@pytest.fixture
def cache_directory(relay, all_servers, first_directory):
    place = CachePlace(
        memory_mib=8, servers=(relay.place,), password_file=str(all_servers[0].password_file)
    )
    return dataclasses.replace(first_directory, epoch=next(epochs), cache=place)


async def known(made, put, value):
    async with made.database.write(KEY) as s:
        await put(s, "a", value)
    assert await made.thing("a") == value


async def test_what_comes_within_the_deadline_is_a_hit(process, put, relay):
    here = await process()
    await known(here, put, 1)
    here.cache._memory.clear()
    relay.late_s = 0.05
    assert await here.thing("a") == 1
    assert here.loads == 1
    assert here.cache.statistics().servers_used == 1


@pytest.mark.parametrize("late_s", [0.3, 0.6])
async def test_what_comes_later_is_a_miss_within_the_deadline_for_all_who_ask(
    process, put, relay, late_s
):
    here = await process()
    await known(here, put, 1)
    here.cache._memory.clear()
    relay.late_s = late_s
    began_s = time.monotonic()
    assert set(await asyncio.gather(*(here.thing("a") for _ in range(50)))) == {1}
    assert time.monotonic() - began_s < 2 * DEADLINE_S + READ_FIRST_S + SLACK_S
    found = here.cache.statistics()
    assert (here.loads, found.server_hits) == (2, 0)
    assert found.server_away > 0
    await known(here, put, 2)
    relay.late_s = 0.0
    await eventually(lambda: here.cache.statistics().servers_used == 1, within_s=20)
    here.cache._memory.clear()
    assert await here.thing("a") == 2
