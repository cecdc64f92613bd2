"""What was acknowledged is there whatever one server of the store does; nobody waits for ever."""

import asyncio
import contextlib
import dataclasses
import os
import shutil
import signal
import subprocess
import time

import pytest

from millions.errors import CommitUnknownError, ConflictError, SdkError, UnavailableError
from millions.sdk import schema
from millions.sdk.database import Database
from millions.sdk.store import SCHEMA, Store
from millions.sdk.store.servers import asking
from millions.testing import eventually
from millions.testing.store import EmbeddedStore, wait_leader

READY_WITHIN_S = 60
WRITES_MORE = 60


@pytest.fixture(scope="module")
def crashing(millions_folder):
    """A store of its own, whose servers a test may kill."""
    made = EmbeddedStore(millions_folder / "crashing-store", memory_mib=24)
    try:
        yield made.start()
    finally:
        made.end()


@pytest.fixture
async def failing(crashing, make_directory, monkeypatch):
    monkeypatch.setattr(asking, "HOLD_S", READY_WITHIN_S)  # a busy machine elects slowly
    directory = dataclasses.replace(make_directory(), store=crashing.place)
    database = Database()
    await database.open(directory)
    async with database.pool().acquire() as connection:
        await schema.ensure(connection, SCHEMA)
    await asyncio.to_thread(crashing.wait_ready)
    await asyncio.to_thread(crashing.empty)
    stores = Store(database), Store(database)
    for each in stores:
        await each.open(directory)
    yield stores
    for each in stores:
        await each.close()
    await database.close()


class Load:
    """Writers that go on until they are told to end, and what was acknowledged of them."""

    def __init__(self, stores):
        self.store, self.other = stores
        self.ends = False
        self.put = {}
        self.counted = self.unknown = self.swapped = 0
        self.wrong = []

    async def write(self, writer):
        n = 0
        while not self.ends:
            n += 1
            key = f"document:{writer}:{n}"
            self.put[key] = await self.store.put(key, n)
            await self.store.sorted(f"list:{writer}").add(str(n), n)
            found = await self.other.get(key)
            if found is None or found.value != n:
                self.wrong.append((key, found))

    async def count(self):
        while not self.ends:
            try:
                await self.store.increment("count")
            except CommitUnknownError:
                self.unknown += 1
            else:
                self.counted += 1

    async def swap(self):
        """Count in a document by compare-and-set, one at a time."""
        version, value = await self.store.put("swapped", 0), 0
        while not self.ends:
            try:
                version, value = (
                    await self.store.put("swapped", value + 1, if_version=version),
                    value + 1,
                )
            except (CommitUnknownError, ConflictError) as error:
                document = await self.store.get("swapped")
                if isinstance(error, ConflictError) or document.value not in (value, value + 1):
                    self.wrong.append(("swapped", value, document))
                version, value = document.version, document.value
            self.swapped = value

    async def more(self, check=lambda: True):
        """Wait until much more was written."""
        goal = len(self.put) + WRITES_MORE
        await eventually(lambda: len(self.put) >= goal and check(), within_s=READY_WITHIN_S)

    async def judge(self):
        """Nothing acknowledged is lost, nothing is counted twice."""
        assert self.wrong == []
        found = await self.store.many(self.put)
        assert {key: each.version for key, each in found.items()} == self.put
        assert self.counted <= await self.store.count("count") <= self.counted + self.unknown
        assert (await self.store.get("swapped")).value == self.swapped
        sizes = [await self.store.sorted(f"list:{n}").size() for n in range(3)]
        assert sum(sizes) == len(self.put)


@contextlib.asynccontextmanager
async def under_load(stores):
    load = Load(stores)
    tasks = [asyncio.create_task(load.write(n)) for n in range(3)]
    tasks += [asyncio.create_task(load.count()) for _ in range(2)]
    tasks += [asyncio.create_task(load.swap())]
    try:
        async with asyncio.timeout(READY_WITHIN_S * 2):
            await load.more()
            yield load
            load.ends = True
            await asyncio.gather(*tasks)
            await load.judge()
    finally:
        for task in tasks:
            task.cancel()


async def other_leads(servers, former):
    """Wait until another server leads."""

    async def leads():
        return await asyncio.to_thread(servers.leader) not in (0, former)

    await eventually(leads, within_s=READY_WITHIN_S)


async def test_nothing_acknowledged_is_lost_when_the_leader_is_killed(failing, crashing):
    async with under_load(failing) as load:
        leader = await asyncio.to_thread(wait_leader, crashing)
        await asyncio.to_thread(crashing.kill, leader)
        await load.more()
        crashing.begin(leader)
        await asyncio.to_thread(crashing.wait_ready)
        await load.more()


async def test_nothing_acknowledged_is_lost_when_the_leader_is_frozen_and_thaws(failing, crashing):
    async with under_load(failing) as load:
        leader = await asyncio.to_thread(wait_leader, crashing)
        crashing.send(leader, signal.SIGSTOP)
        await other_leads(crashing, leader)
        await load.more()
        crashing.send(leader, signal.SIGCONT)
        await load.more()
    await asyncio.to_thread(crashing.wait_ready)


async def test_nothing_acknowledged_is_lost_when_the_leader_is_stopped_in_peace(failing, crashing):
    async with under_load(failing) as load:
        leader = await asyncio.to_thread(wait_leader, crashing)
        await asyncio.to_thread(crashing.stop, leader)
        await load.more()
        crashing.begin(leader)
        await asyncio.to_thread(crashing.wait_ready)


async def test_nothing_acknowledged_is_lost_when_every_server_is_killed_at_once(failing, crashing):
    async with under_load(failing) as load:
        for number in crashing.numbers:
            await asyncio.to_thread(crashing.kill, number)
        for number in crashing.numbers:
            crashing.begin(number)
        await load.more()
    await asyncio.to_thread(crashing.wait_ready)


@contextlib.contextmanager
def cut_off(servers, number, *, clients):
    """Let one server reach none of the others; with `clients`, let nobody reach it."""
    if os.geteuid() or shutil.which("nft", path="/usr/sbin:/sbin:/usr/bin") is None:
        pytest.skip("rules of the network need root and nftables")
    hosts = [place.host for place in servers.place.servers]
    own = hosts.pop(number - 1)
    others = f"{{ {', '.join([*hosts, '127.0.0.1'] if clients else hosts)} }}"
    name = f"millions_store_{own.replace('.', '_')}"
    rules = "".join(
        f"add rule inet {name} cut ip {a} {own} ip {b} {others} drop\n"
        for a, b in (("saddr", "daddr"), ("daddr", "saddr"))
    )
    nft(
        f"add table inet {name}\n"
        f"add chain inet {name} cut {{ type filter hook input priority -10; }}\n{rules}"
    )
    try:
        yield
    finally:
        nft(f"delete table inet {name}\n")


def nft(script):
    subprocess.run(["/usr/sbin/nft", "-f", "-"], input=script, text=True, check=True, timeout=10)


@pytest.mark.parametrize("clients", [False, True], ids=["from the others", "from everybody"])
async def test_nothing_is_lost_or_read_stale_when_the_leader_is_cut_off(failing, crashing, clients):
    async with under_load(failing) as load:
        leader = await asyncio.to_thread(wait_leader, crashing)
        with cut_off(crashing, leader, clients=clients):
            await other_leads(crashing, leader)
            await load.more()
        await load.more()
        await asyncio.to_thread(crashing.wait_ready)


async def test_nothing_is_lost_when_the_disk_of_the_leader_is_full(failing, crashing):
    async with under_load(failing) as load:
        leader = await asyncio.to_thread(wait_leader, crashing)
        await asyncio.to_thread(crashing.fill_disk, leader)
        await load.more()
        crashing.begin(leader)
        await load.more()
    await asyncio.to_thread(crashing.wait_ready)


async def test_a_server_alone_acknowledges_nothing_and_its_callers_are_told(
    failing, crashing, monkeypatch
):
    monkeypatch.setattr(asking, "HOLD_S", 2.5)
    leader = await asyncio.to_thread(wait_leader, crashing)
    others = [n for n in crashing.numbers if n != leader]
    await failing[0].put("before", 1)
    for number in others:
        await asyncio.to_thread(crashing.kill, number)
    began_s = time.monotonic()
    with pytest.raises(UnavailableError, match="no server of the store leads"):
        await failing[0].put("after", 1)
    assert time.monotonic() - began_s < READY_WITHIN_S
    for number in others:
        crashing.begin(number)
    await asyncio.to_thread(crashing.wait_ready)
    assert (await failing[0].get("before")).value == 1


async def test_an_increment_that_no_follower_has_kept_is_unknown(failing, crashing, monkeypatch):
    """The leader has done it, and the others may take it over once they are back."""
    leader = await asyncio.to_thread(wait_leader, crashing)
    others = [n for n in crashing.numbers if n != leader]
    before = await failing[0].increment("half kept")
    monkeypatch.setattr(asking, "HOLD_S", 2.5)
    for number in others:
        crashing.send(number, signal.SIGSTOP)
    try:
        with pytest.raises(CommitUnknownError):
            await failing[0].increment("half kept")
    finally:
        for number in others:
            crashing.send(number, signal.SIGCONT)
    monkeypatch.setattr(asking, "HOLD_S", READY_WITHIN_S)
    await asyncio.to_thread(crashing.wait_ready)
    assert await failing[0].count("half kept") in (before, before + 1)


async def test_a_full_memory_refuses_writes_changes_nothing_and_can_be_freed(failing, crashing):
    text = "x" * 500_000

    async def fill():
        for n in range(200):
            await failing[0].put(f"large:{n}", text)

    with pytest.raises(SdkError, match="memory is full"):
        await fill()
    await eventually(lambda: crashing.leader() > 0, within_s=READY_WITHIN_S)
    kept = await failing[0].many([f"large:{n}" for n in range(5)])
    assert len(kept) == 5
    assert await failing[0].count("views") == 0
    for n in range(200):
        await failing[0].delete(f"large:{n}")

    async def freed():
        try:
            return await failing[0].put("small", 1) > 0
        except UnavailableError:
            return False

    await eventually(freed, within_s=READY_WITHIN_S)
