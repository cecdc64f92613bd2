"""Reuse: how many other keys are asked for before one is asked for again, from a sample of keys.

A memory that holds that many keys, the least recently used going first, would have had it. The
sample is the same in every process, so that a server sees how often its own keys come back.
Source: Waldspurger, Park, Garthwaite, Ahmad, "Efficient MRC Construction with SHARDS" (FAST 2015).
"""

from __future__ import annotations

import math
import zlib
from typing import TYPE_CHECKING

from millions.sdk.cache import scripts
from millions.sdk.valkey import Script

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

SAMPLED = 64
"""One key in this many is looked at."""

KEYS_MAX = 4096
"""Sampled keys that a server remembers: it sees as far as this many times `SAMPLED` keys."""

REMEMBERED_MS = 3_600_000
STEPS = 4
"""Steps in which a distance doubles."""

NEW = "new"
LAST, DISTANCES = b"r:last", b"r:distances"

REUSE = Script(f"""
local now = redis.call('TIME')
local before = redis.call('ZSCORE', KEYS[1], ARGV[1])
local step = '{NEW}'
if before then
  local distance = redis.call('ZCOUNT', KEYS[1], '(' .. before, '+inf')
  step = math.floor(math.log(distance + 1) / math.log(2) * {STEPS})
end
redis.call('ZADD', KEYS[1], now[1] * 1000000 + now[2], ARGV[1])
if redis.call('ZCARD', KEYS[1]) > {KEYS_MAX} then redis.call('ZPOPMIN', KEYS[1]) end
redis.call('HINCRBY', KEYS[2], step, 1)
if redis.call('PTTL', KEYS[2]) < 0 then redis.call('PEXPIRE', KEYS[2], {REMEMBERED_MS}) end
return 1
""")
"""Keys: when each was asked for last, how often each distance was seen. Argument: a name."""


def is_sampled(key: str) -> bool:
    """Whether `key` is one of those that are looked at."""
    return zlib.crc32(key.encode()) % SAMPLED == 0


def share(distances: Mapping[str, int], keys: float) -> float | None:
    """What share of lookups a memory of that many keys would answer; None where nothing is known.

    `distances` counts lookups by step, as the script keeps them.
    """
    total = sum(distances.values())
    if not total:
        return None
    reach = math.log2(keys / SAMPLED + 1) * STEPS
    found = 0.0
    for step, count in distances.items():
        if step != NEW:
            found += count * min(1.0, max(0.0, reach - int(step)))
    return found / total


def room(keys: int, some: Collection[bytes], info: Mapping[str, str]) -> float:
    """How many values a server has room for, as large as those that it holds.

    `keys` counts stamps and leases too; `some` of the keys, taken by chance, tell how many are not
    values. `info` is what INFO says of its memory; what it took when it was empty holds no value.
    """
    if not some:
        return 0.0
    values = sum(key.startswith(scripts.entry("")) for key in some) / len(some) * keys
    empty = int(info["used_memory_startup"])
    used, capacity = (int(info[each]) - empty for each in ("used_memory", "maxmemory"))
    return values * max(1.0, capacity / max(used, 1))
