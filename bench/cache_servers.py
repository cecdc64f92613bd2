"""Cache servers: what a hit costs, and what one that dies and comes back costs in hits and errors.

    python bench/cache_servers.py [--rounds 7] [--operations 2000]

Against redis-py, cashews and aiocache on the same server, and against a Valkey Cluster of three
primaries with a replica each. The values are 300 bytes; nothing is near unless it says so.
"""

# ruff: noqa: SLF001 - memory is turned off, and the link asked, from outside

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import hmac
import marshal
import random
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiocache
import redis.asyncio as redis
import uvloop
from cashews import Cache as CashewsCache
from redis.asyncio.cluster import ClusterNode, RedisCluster
from rounds import Side, measure, report

from millions.directory import CachePlace
from millions.runtime.ports import free_port
from millions.sdk import schema
from millions.sdk.cache import SCHEMA, Cache
from millions.sdk.cache.sealed import BODY_AT, MAC_BYTES
from millions.sdk.database import Database
from millions.testing import EmbeddedPostgres, directory_for
from millions.testing.valkey import EmbeddedValkey

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from millions.directory import Directory

    Ask = Callable[[str], Awaitable[bool]]

VALUE = {"id": 7, "name": "x" * 250, "on": True}
ENTRY = b"e:user:7"
KEYED = hashlib.blake2b(key=bytes(32), digest_size=MAC_BYTES)
TOGETHER = 64
KEYS = 4000
CLIENTS = 16
PHASES = (("before", 2.0), ("one is dead", 3.0), ("it is back", 3.0))
SLOTS = 16_384


class Sides:
    """One cached function of each library, on the same server."""

    def __init__(self, ours: Cache, near: Cache, server: EmbeddedValkey) -> None:
        url = f"redis://:{server.password}@127.0.0.1:{server.port}"
        self.raw = redis.Redis.from_url(url)
        self.ours = ours.through(key="user:{n}", ttl_s=3600)(load)
        self.near = near.through(key="user:{n}", ttl_s=3600)(load)
        self.wire: Any = ours._loading.remote.servers.wire("user:7")  # type: ignore[union-attr]
        cashews = CashewsCache()
        cashews.setup(url)
        self.cashews = cashews(ttl=3600, key="user:{n}")(load)
        client_side = CashewsCache()
        client_side.setup(url, client_side=True)
        self.client_side = client_side(ttl=3600, key="side:{n}")(load)
        self.aiocache = aiocache.cached(
            ttl=3600,
            cache=aiocache.Cache.REDIS,
            endpoint="127.0.0.1",
            port=server.port,
            password=server.password,
            serializer=aiocache.serializers.PickleSerializer(),
        )(load)

    def all(self) -> dict[str, Callable[[], Awaitable[Any]]]:
        wire = self.wire
        return {
            "the raw link, GET": lambda: wire.send("GET", ENTRY),
            "GET in a coroutine": self.got,
            "GET, unpack": self.unpacked,
            "GET, prove, unpack": self.proved,
            "millions, server hit": lambda: self.ours(7),
            "millions, near hit": lambda: self.near(7),
            "redis-py, GET": lambda: self.raw.get(ENTRY),
            "cashews": lambda: self.cashews(7),
            "cashews, client side": lambda: self.client_side(7),
            "aiocache": lambda: self.aiocache(7),
        }

    async def got(self) -> bytes:
        data: bytes = await self.wire.send("GET", ENTRY)
        return data

    async def unpacked(self) -> Any:
        data = await self.wire.send("GET", ENTRY)
        return marshal.loads(data[BODY_AT:])[0].copy()

    async def proved(self) -> Any:
        """What no code that proves and unpacks can do without, and nothing else."""
        data = await self.wire.send("GET", ENTRY)
        mac, body = KEYED.copy(), data[BODY_AT:]
        mac.update(body)
        hmac.compare_digest(data[BODY_AT - MAC_BYTES : BODY_AT], mac.digest())
        return marshal.loads(body)[0].copy()


async def load(n: int) -> dict[str, Any]:
    return VALUE | {"id": n}


async def costs(sides: Sides, rounds: int, operations: int) -> None:
    alone = [Side(name, operation) for name, operation in sides.all().items()]

    def together(operation: Callable[[], Awaitable[Any]]) -> Callable[[], Awaitable[Any]]:
        async def run() -> None:
            await asyncio.gather(*(operation() for _ in range(TOGETHER)))

        return run

    many = [Side(name, together(operation)) for name, operation in sides.all().items()]
    await sides.ours(7)  # who asks for the bare entry finds one
    await measure(alone, rounds=rounds, operations=operations)
    await measure(many, rounds=rounds, operations=max(1, operations // TOGETHER))
    for side in many:
        side.cpu_us = [each / TOGETHER for each in side.cpu_us]
        side.wall_us = [each / TOGETHER for each in side.wall_us]
    groups = {"one after another": alone, f"{TOGETHER} at once": many}
    report("CPU of the client per hit", groups, "cache_servers.json")


async def loss(name: str, ask: Ask, kill: Callable[[], None], start: Callable[[], None]) -> None:
    """Ask for keys while one server dies and comes back; print hits and errors by phase."""
    chance, asked, found = random.Random(7), Counter[str](), Counter[str]()
    errors, slowest_ms, phase = Counter[str](), Counter[str](), ["warm"]

    async def client() -> None:
        while phase[0]:
            began, at = time.monotonic(), phase[0]
            try:
                hit = await ask(f"n{chance.randrange(KEYS)}")
                found[at] += hit
            except Exception:  # noqa: BLE001  # whatever a library raises is a failed request
                errors[at] += 1
            asked[at] += 1
            slowest_ms[at] = max(slowest_ms[at], int((time.monotonic() - began) * 1e3))
            await asyncio.sleep(0.001)

    for n in range(KEYS):
        await ask(f"n{n}")
    clients = [asyncio.create_task(client()) for _ in range(CLIENTS)]
    for (phase[0], seconds), act in zip(PHASES, (None, kill, start), strict=True):
        if act is not None:
            await asyncio.to_thread(act)
        await asyncio.sleep(seconds)
    phase[0] = ""
    await asyncio.gather(*clients)
    for at, _ in PHASES:
        ratio = 100 * found[at] / max(1, asked[at])
        said = f"{ratio:5.1f} % hits of {asked[at]:6}, {errors[at]} errors"
        print(f"{name:14} {at:12} {said}, slowest {slowest_ms[at]} ms")


async def our_loss(cache: Cache, servers: list[EmbeddedValkey]) -> None:
    missed = Counter[str]()

    async def ask(key: str) -> bool:
        async def answer() -> dict[str, Any]:
            missed[key] += 1
            return VALUE

        before = missed[key]
        await cache.load(key, answer, ttl_s=3600)
        return missed[key] == before

    await loss("millions", ask, servers[0].stop, lambda: void(servers[0].start()))


async def cluster_loss(folder: Path) -> None:
    nodes = cluster(folder)
    client = RedisCluster(
        startup_nodes=[ClusterNode("127.0.0.1", each.port) for each in nodes],
        password=nodes[0].password,
    )

    async def ask(key: str) -> bool:
        if await client.get(key) is not None:
            return True
        await client.set(key, b"x" * 300, ex=3600)
        return False

    try:
        await loss("Valkey Cluster", ask, nodes[0].stop, lambda: void(nodes[0].start()))
    finally:
        await client.aclose()
        for each in nodes:
            each.stop()


def cluster(folder: Path) -> list[EmbeddedValkey]:
    """Three primaries, each with a replica."""
    password = "a password of the bench"
    nodes = []
    for n in range(6):
        said = {
            "cluster-enabled": "yes",
            "cluster-port": str(free_port()),
            "cluster-node-timeout": "1000",
            "cluster-announce-ip": "127.0.0.1",
            "cluster-require-full-coverage": "no",
            "cluster-replica-validity-factor": "0",
            "repl-diskless-sync-delay": "0",
            "masterauth": f'"{password}"',
            "requirepass": f'"{password}"',
        }
        node = EmbeddedValkey(folder / f"node-{n}", password=password.replace(" ", "-"))
        node.settings |= said | {"requirepass": node.password, "masterauth": node.password}
        nodes.append(node.start())
    for n, node in enumerate(nodes[:3]):
        node.ask("CLUSTER", "ADDSLOTSRANGE", str(n * SLOTS // 3), str((n + 1) * SLOTS // 3 - 1))
    for node in nodes[1:]:
        bus = node.settings["cluster-port"]
        nodes[0].ask("CLUSTER", "MEET", "127.0.0.1", str(node.port), bus)
    wait(nodes, b"cluster_known_nodes:6")
    for n, node in enumerate(nodes[3:]):
        primary = nodes[n].ask("CLUSTER", "MYID").split(b"\r\n")[1].decode()
        node.ask("CLUSTER", "REPLICATE", primary)
    wait(nodes, b"cluster_state:ok")
    return nodes


def wait(nodes: list[EmbeddedValkey], said: bytes) -> None:
    ends_at = time.monotonic() + 30
    while not all(said in each.ask("CLUSTER", "INFO") for each in nodes):
        if time.monotonic() > ends_at:
            raise TimeoutError(said)
        time.sleep(0.1)


def void(_: object) -> None:
    """Nothing: what was started is known."""


@contextlib.asynccontextmanager
async def opened(directory: Directory, servers: list[EmbeddedValkey], epoch: int) -> Any:
    place = CachePlace(
        memory_mib=8,
        servers=tuple(each.place for each in servers),
        password_file=str(servers[0].password_file),
    )
    with_servers = replace(directory, epoch=epoch, cache=place)
    db = Database()
    await db.open(with_servers)
    async with db.pool().acquire() as connection:
        await schema.ensure(connection, SCHEMA)
    cache = Cache(db)
    await cache.open(with_servers)
    try:
        yield cache
    finally:
        await cache.close()
        await db.close()


async def main(directory: Directory, folder: Path, rounds: int, operations: int) -> None:
    servers = [
        EmbeddedValkey(folder / f"valkey-{n}", password="of-the-bench").start() for n in range(3)
    ]
    try:
        async with (
            opened(directory, servers[:1], 2) as ours,
            opened(directory, servers[:1], 3) as near,
        ):
            ours._memory.resize(0)
            await costs(Sides(ours, near, servers[0]), rounds, operations)
        async with opened(directory, servers, 4) as ours:
            ours._memory.resize(0)
            await our_loss(ours, servers)
    finally:
        for each in servers:
            each.stop()
    await cluster_loss(folder)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--operations", type=int, default=2000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="millions-bench-", dir="/tmp") as name:
        Path(name).chmod(0o711)
        postgres = EmbeddedPostgres(Path(name) / "postgres").start()
        try:
            stack = directory_for(postgres.create_database("bench"), Path(name) / "stack")
            uvloop.run(main(stack, Path(name), options.rounds, options.operations))
        finally:
            postgres.stop()
