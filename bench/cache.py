"""What a cache hit costs, over cashews and aiocache in memory. Aim: five times less CPU.

    python bench/cache.py [--rounds 15] [--operations 5000]

The peers hand the same object to every caller (one that changes it changes the cache); ours gives
each a copy of its own of whatever can be changed, which is what the deeper values cost.
"""

# ruff: noqa: ARG001 - the argument of a cached function is its key

from __future__ import annotations

import argparse
import statistics
from dataclasses import dataclass
from functools import partial
from typing import Any

import aiocache
import uvloop
from cashews import Cache as CashewsCache
from rounds import Side, measure, report

from millions.sdk.cache import Cache


@dataclass(frozen=True, slots=True)
class Photo:
    id: int
    name: str
    tags: tuple[str, ...] = ("a", "b")


VALUES: dict[str, Any] = {
    "a tuple": (7, "ann", "ann@example.com", True),
    "a flat dict": {"id": 7, "name": "ann", "mail": "ann@example.com", "on": True},
    "20 frozen dataclasses": tuple(Photo(id=n, name=f"photo {n}") for n in range(20)),
    "20 rows": [{"id": n, "name": f"photo {n}", "by": "ann"} for n in range(20)],
    "20 dicts with lists": [{"id": n, "name": f"photo {n}", "tags": ["a", "b"]} for n in range(20)],
}
AIM = 5.0


def millions_side(value: Any, word: str) -> Side:
    @Cache().through(key=f"{word}:{{user_id}}", ttl_s=3600)
    async def user(user_id: int) -> Any:
        return value

    return Side("millions", partial(user, 7))


def aiocache_side(value: Any) -> Side:
    @aiocache.cached(ttl=3600, cache=aiocache.Cache.MEMORY)
    async def user(user_id: int) -> Any:
        return value

    return Side("aiocache", partial(user, 7))


def aiocache_keyed_side(value: Any) -> Side:
    def key(function: Any, user_id: int) -> str:
        return f"user:{user_id}"

    @aiocache.cached(ttl=3600, cache=aiocache.Cache.MEMORY, key_builder=key)
    async def user(user_id: int) -> Any:
        return value

    return Side("aiocache, own key builder", partial(user, 7))


def cashews_side(value: Any) -> Side:
    cache = CashewsCache()
    cache.setup("mem://", size=10_000)

    @cache(ttl=3600, key="user:{user_id}")
    async def user(user_id: int) -> Any:
        return value

    return Side("cashews", partial(user, 7))


def bare_side(value: Any) -> Side:
    async def user(user_id: int) -> Any:
        return value

    return Side("no cache, the bare call", partial(user, 7))


async def main(rounds: int, operations: int) -> None:
    groups: dict[str, list[Side]] = {}
    for name, value in VALUES.items():
        sides = [millions_side(value, "user"), aiocache_side(value), aiocache_keyed_side(value)]
        groups[name] = [*sides, cashews_side(value), bare_side(value)]
        await measure(groups[name], rounds=rounds, operations=operations)
    report("CPU per cache hit, awaited, in memory", groups, "cache.json")
    for name, sides in groups.items():
        ours = statistics.median(sides[0].cpu_us)
        for side in sides[1:-1]:
            ratio = statistics.median(side.cpu_us) / ours
            verdict = "" if ratio >= AIM else f"   below the aim of {AIM:g}"
            print(f"{name}: {ours:.2f} µs, {ratio:.1f} times faster than {side.name}{verdict}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--operations", type=int, default=5000)
    options = parser.parse_args()
    uvloop.run(main(options.rounds, options.operations))
