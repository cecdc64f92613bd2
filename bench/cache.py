"""A cache hit against cashews and aiocache, in memory: CPU time of one awaited call.

The sides take turns (A B C A B C); each caches the same dictionary behind a decorator.

    python bench/cache.py [--rounds 7] [--calls 20000]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiocache
import cashews

from millions.sdk import nouns
from millions.testing import EmbeddedPostgres, directory_for

RESULTS = Path(__file__).parent / "results"
Call = Callable[[int], Awaitable[Any]]
VALUE = {"id": 7, "name": "Ada", "bio": "x" * 200, "followers": 12}
KEYS = 100


def sides() -> dict[str, Call]:
    other = cashews.Cache()
    other.setup("mem://", size=10_000)

    @nouns.cache.through(ttl_s=600, key="bench:{number}")
    async def ours(number: int) -> dict[str, Any]:
        return {**VALUE, "id": number}

    @other(ttl="10m", key="bench:{number}")
    async def with_cashews(number: int) -> dict[str, Any]:
        return {**VALUE, "id": number}

    @aiocache.cached(ttl=600, key_builder=lambda _, number: f"bench:{number}")
    async def with_aiocache(number: int) -> dict[str, Any]:
        return {**VALUE, "id": number}

    return {"Millions": ours, "cashews": with_cashews, "aiocache": with_aiocache}


async def cpu_us(call: Call, calls: int) -> float:
    for number in range(KEYS):
        await call(number)
    began_s = time.thread_time()
    for number in range(calls):
        await call(number % KEYS)
    return 1e6 * (time.thread_time() - began_s) / calls


async def run(rounds: int, calls: int) -> dict[str, list[float]]:
    folder = Path(tempfile.mkdtemp(prefix="millions-bench-", dir="/tmp"))
    folder.chmod(0o755)  # noqa: ASYNC240  # nothing else runs yet
    postgres = EmbeddedPostgres(folder / "postgres").start()
    try:
        directory = directory_for(postgres.create_database("bench"), folder / "files")
        async with nouns.running(directory):
            called = sides()
            found: dict[str, list[float]] = {name: [] for name in called}
            for _ in range(rounds):
                for name, call in called.items():
                    found[name].append(await cpu_us(call, calls))
            return found
    finally:
        postgres.remove()


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=7)
    arguments.add_argument("--calls", type=int, default=20_000)
    given = arguments.parse_args()
    found = asyncio.run(run(given.rounds, given.calls))
    ours = statistics.median(found["Millions"])
    for name, values in found.items():
        middle = statistics.median(values)
        span = f"({min(values):.2f} to {max(values):.2f})"
        print(f"{name:10} {middle:7.2f} µs a hit {span}, {middle / ours:5.1f} x")
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "cache.json").write_text(json.dumps({"cpu_us": found}, indent=1))


if __name__ == "__main__":
    main()
