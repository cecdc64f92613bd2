"""What the store costs on servers of its own, and how long its users wait when its leader is lost.

    python bench/store.py [--rounds 7] [--operations 200] [--runs 5]

Costs: documents, counters and lists, beside the same on tables in PostgreSQL, one caller and 32.
Gaps: a writer puts one document after the other; the gap is the longest time without an
acknowledged one. Afterwards every acknowledged one is looked for.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import shutil
import signal
import statistics
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvloop
from rounds import RESULTS, Side, measure, report

from millions.sdk import schema
from millions.sdk.database import Database
from millions.sdk.store import SCHEMA, Store
from millions.testing import EmbeddedPostgres, directory_for
from millions.testing.store import EmbeddedStore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from millions.directory import Directory

SIDE_BY_SIDE = 32
BEFORE_S, AFTER_S = 0.5, 4.0
VALUE = {"user": "ann", "data": "x" * 200}


async def opened(directory: Directory) -> tuple[Database, Store]:
    database = Database()
    await database.open(directory)
    async with database.pool().acquire() as connection:
        await schema.ensure(connection, SCHEMA)  # type: ignore[arg-type]  # a pool's proxy is one
    store = Store(database)
    await store.open(directory)
    return database, store


def sides(store: Store, name: str) -> dict[str, Side]:
    feed = store.sorted("feed")
    deeds: dict[str, Callable[[], Awaitable[object]]] = {
        "get": lambda: store.get("document"),
        "put": lambda: store.put("document", VALUE, ttl_s=600),
        "increment": lambda: store.increment("views"),
        "add to a list": lambda: feed.add("photo", time.time()),
        "a page of a list": lambda: feed.range(50),
    }
    return {deed: Side(name, operation) for deed, operation in deeds.items()}


async def side_by_side(store: Store, operations: int) -> float:
    """Puts a second, by callers side by side."""

    async def put(caller: int) -> None:
        for n in range(operations):
            await store.put(f"document:{caller}:{n % 50}", VALUE)

    began_s = time.perf_counter()
    await asyncio.gather(*(put(n) for n in range(SIDE_BY_SIDE)))
    return SIDE_BY_SIDE * operations / (time.perf_counter() - began_s)


async def cost(tables: Store, servers: Store, arguments: argparse.Namespace) -> None:
    both = sides(tables, "tables in PostgreSQL"), sides(servers, "three servers")
    groups = {deed: [side[deed] for side in both] for deed in both[0]}
    for group in groups.values():
        await measure(group, rounds=arguments.rounds, operations=arguments.operations)
    report("What does the store cost on servers of its own?", groups, "store")
    for name, store in (("tables", tables), ("servers", servers)):
        rates = [await side_by_side(store, arguments.operations) for _ in range(3)]
        print(f"{name}: {statistics.median(rates):,.0f} puts/s by {SIDE_BY_SIDE} side by side")


async def gap(store: Store, servers: EmbeddedStore, how: str) -> tuple[float, int]:
    """The longest time without an acknowledged write, and how many of those are lost."""
    at_s: list[float] = []
    put: list[str] = []
    ends = False

    async def write() -> None:
        while not ends:
            key = f"{how}:{len(put)}:{time.time_ns()}"
            await store.put(key, 1, ttl_s=60)
            put.append(key)
            at_s.append(time.perf_counter())

    writer = asyncio.create_task(write())
    await asyncio.sleep(BEFORE_S)
    leader = await asyncio.to_thread(servers.leader)
    if how == "frozen":
        servers.send(leader, signal.SIGSTOP)
    else:
        await asyncio.to_thread(servers.kill if how == "killed" else servers.stop, leader)
    await asyncio.sleep(AFTER_S)
    if how == "frozen":
        servers.send(leader, signal.SIGCONT)
    else:
        servers.begin(leader)
    ends = True
    await writer
    await asyncio.to_thread(servers.wait_ready)
    found = await store.many(put[-5000:])
    return max(b - a for a, b in pairwise(at_s)), len(put[-5000:]) - len(found)


async def gaps(store: Store, servers: EmbeddedStore, runs: int) -> None:
    document: dict[str, Any] = {}
    print("\nHow long do writes wait when the leader is lost?")
    for how in ("killed", "frozen", "stopped in peace"):
        found = [await gap(store, servers, how) for _ in range(runs)]
        seconds = sorted(each for each, _ in found)
        lost = sum(each for _, each in found)
        document[how] = {"gaps_s": seconds, "lost": lost}
        print(
            f"{how:20} median {statistics.median(seconds):.2f} s, worst {seconds[-1]:.2f} s "
            f"of {runs}; acknowledged and lost: {lost}"
        )
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "store_gaps.json").write_text(json.dumps(document, indent=1) + "\n")


async def main(arguments: argparse.Namespace, folder: Path) -> None:
    flushing = {"fsync": "on", "full_page_writes": "on"}
    server = EmbeddedPostgres(folder / "postgres", settings=flushing)
    servers = EmbeddedStore(folder / "store", memory_mib=256)
    try:
        await asyncio.to_thread(server.start)
        await asyncio.to_thread(servers.start)
        directories = [
            directory_for(
                await asyncio.to_thread(server.create_database, name), folder / f"{name}-stack"
            )
            for name in ("tables", "servers")
        ]
        first, tables = await opened(directories[0])
        second, store = await opened(dataclasses.replace(directories[1], store=servers.place))
        if arguments.rounds:
            await cost(tables, store, arguments)
        if arguments.runs:
            await gaps(store, servers, arguments.runs)
        for each in (tables, store, first, second):
            await each.close()
    finally:
        servers.end()
        await asyncio.to_thread(server.remove)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--operations", type=int, default=200)
    parser.add_argument("--runs", type=int, default=5)
    place = Path(tempfile.mkdtemp(prefix="millions-store-bench-", dir="/tmp"))
    place.chmod(0o755)
    try:
        uvloop.run(main(parser.parse_args(), place))
    finally:
        shutil.rmtree(place, ignore_errors=True)
