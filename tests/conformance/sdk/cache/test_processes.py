"""G5 between processes: notified inside the transaction; deaf means empty."""

import asyncio
import uuid

import asyncpg
import pytest

from millions.sdk import listening
from millions.testing import eventually

KEY = uuid.uuid4()


async def heard_all(here, there):
    """Wait until `here` has heard everything that `there` has announced until now."""
    await here.cache.put("witness", 1)
    await there.cache.invalidate("witness")

    async def gone():
        return await here.cache.get("witness") is None

    await eventually(gone, within_s=5)


async def test_a_commit_elsewhere_makes_what_it_names_unknown_here(process, put):
    here, there = await process(), await process()
    async with there.database.write(KEY) as s:
        await put(s, "b", 1)
    assert await here.thing("b") == 1
    async with there.database.write(KEY) as s:
        await put(s, "b", 2)

    async def is_new():
        return await here.thing("b") == 2

    await eventually(is_new, within_s=5)
    assert await here.thing("b") == 2


async def test_a_rollback_elsewhere_changes_nothing_here(process, put):
    here, there = await process(), await process()
    async with there.database.write(KEY) as s:
        await put(s, "b", 1)
    await heard_all(here, there)
    await here.thing("b")

    async def fail(s):
        await put(s, "b", 2)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await there.database.run(KEY, fail)
    await heard_all(here, there)
    assert await here.thing("b") == 1
    assert here.loads == 1


async def test_an_invalidation_outside_of_a_transaction_reaches_every_process(process):
    here, there = await process(), await process()
    await here.cache.put("k", 1)
    await here.cache.put("other", 1)
    await there.cache.invalidate("k")

    async def gone():
        return await here.cache.get("k") is None

    await eventually(gone, within_s=5)
    assert await here.cache.get("other") == 1


async def test_more_names_than_notifications_can_carry_empty_the_other_caches(process):
    here, there = await process(), await process()
    await here.cache.put("k", 1)
    await there.cache.invalidate(*(f"{n:0500}" for n in range(1000)))

    async def gone():
        return await here.cache.get("k") is None

    await eventually(gone, within_s=5)


async def test_ones_own_notifications_do_not_empty_what_was_filled_since(process, put):
    here = await process()
    async with here.database.write(KEY) as s:
        await put(s, "c", 1)
    assert await here.thing("c") == 1
    await heard_all(here, await process())
    assert await here.thing("c") == 1
    assert here.loads == 1


async def test_what_many_ask_for_stays_near_while_everything_else_is_read_once(process):
    here = await process()
    here.cache._memory.resize(1 << 20)
    await here.cache.put("hot", 1)

    async def is_hot():
        return await here.cache.get("hot") == 1 and "hot" in here.cache._memory.hot

    await eventually(is_hot, within_s=10)
    for n in range(300):
        await here.cache.put(f"cold {n}", b"x" * 10_000)
    assert here.cache.statistics().evictions > 150
    assert "hot" in here.cache._memory.entries


async def terminate_listener(made):
    async with made.database.pool().acquire() as connection:
        return await connection.fetchval(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            "WHERE datname = current_database() AND application_name LIKE '% listener'"
        )


async def test_a_lost_listening_connection_empties_the_cache_until_it_is_back(process):
    here = await process()
    await here.cache.put("k", 1)
    assert here.cache.statistics().listening
    assert await eventually(lambda: terminate_listener(here), within_s=5)
    await eventually(lambda: here.cache.statistics().listening_losses == 1, within_s=5)
    await eventually(lambda: here.cache.statistics().listening, within_s=5)
    assert await here.cache.get("k") is None
    assert await here.cache.put("k", 2)


class Gate:
    """The database, whose connections for LISTEN come only while the gate is open."""

    def __init__(self, database):
        self._database = database
        self.open = True
        self.given = []

    def __getattr__(self, name):
        return getattr(self._database, name)

    async def listener(self):
        if not self.open:
            raise ConnectionRefusedError("the gate is shut")
        self.given.append(await self._database.listener())
        return self.given[-1]


async def test_while_deaf_every_call_goes_to_the_loader_and_nothing_is_kept(process, put):
    gates = []

    def gated(database):
        gates.append(Gate(database))
        return gates[0]

    here, there = await process(gated), await process()
    async with there.database.write(KEY) as s:
        await put(s, "d", 1)
    await here.thing("d")
    gates[0].open = False
    gates[0].given[0].terminate()
    await eventually(lambda: not here.cache.statistics().listening, within_s=5)
    assert here.cache.statistics().entries == 0
    before = here.loads
    for value in (2, 3):
        async with there.database.write(KEY) as s:
            await put(s, "d", value)
        assert await here.thing("d") == value
        assert await here.thing("d") == value
    assert here.loads == before + 4
    assert not await here.cache.put("k", 1)
    gates[0].open = True
    await eventually(lambda: here.cache.statistics().listening, within_s=10)
    assert await here.thing("d") == 3
    assert await here.thing("d") == 3
    assert here.loads == before + 5


async def test_a_load_that_was_under_way_when_the_connection_was_lost_is_not_stored(process):
    here = await process()
    go_on = asyncio.Event()

    async def slow():
        await go_on.wait()
        return "read while it could hear"

    asking = asyncio.create_task(here.cache.load("k", slow))
    assert await eventually(lambda: terminate_listener(here), within_s=5)
    await eventually(lambda: here.cache.statistics().listening_losses == 1, within_s=5)
    await eventually(lambda: here.cache.statistics().listening, within_s=5)
    go_on.set()
    assert await asking == "read while it could hear"
    assert await here.cache.get("k") is None


class Frozen:
    """A way to the database through a door that can be frozen: open, and nothing passes."""

    def __init__(self, database, directory):
        self._database = database
        self._place = directory.database
        self._server = None
        self._passing = asyncio.Event()
        self._passing.set()
        self._pumps = set()

    def __getattr__(self, name):
        return getattr(self._database, name)

    def freeze(self):
        self._passing.clear()

    async def stop(self):
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)
        self._server.close()

    async def listener(self):
        if not self._passing.is_set():
            raise ConnectionRefusedError("frozen")
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        place = self._place
        with open(place.password_file) as file:  # noqa: ASYNC230, PTH123  # a test
            password = file.read().strip()
        return await asyncpg.connect(
            host="127.0.0.1", port=port, user=place.user, password=password, database=place.name
        )

    async def _serve(self, reader, writer):
        primary = self._place.shards[0].primary
        far_reader, far_writer = await asyncio.open_connection(primary.host, primary.port)
        pumps = {
            asyncio.create_task(self._pump(reader, far_writer)),
            asyncio.create_task(self._pump(far_reader, writer)),
        }
        self._pumps |= pumps
        await asyncio.wait(pumps)

    async def _pump(self, reader, writer):
        try:
            while data := await reader.read(65536):
                await self._passing.wait()
                writer.write(data)
        except OSError:
            pass
        finally:
            writer.close()


async def test_a_connection_that_died_without_a_word_is_noticed_within_its_bound(
    process, cache_directory
):
    doors = []

    def through_door(database):
        doors.append(Frozen(database, cache_directory))
        return doors[0]

    here = await process(through_door)
    await here.cache.put("k", 1)
    doors[0].freeze()
    bound_s = listening.HEARTBEAT_S + listening.HEARTBEAT_LIMIT_S
    await eventually(lambda: not here.cache.statistics().listening, within_s=bound_s + 1)
    assert here.cache.statistics().entries == 0
    await here.cache.close()
    await doors[0].stop()
