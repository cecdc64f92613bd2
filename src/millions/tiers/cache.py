"""Cache: what was read before, kept in memory.

Runs: nothing of its own on rung 1; it lives inside the web process.
Gives: `cache` of the directory.
Source: the embedded form of `sdk/cache`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from millions.directory import CachePlace
from millions.settings import Table, setting
from millions.tiers.kind import Context, Tier

if TYPE_CHECKING:
    from collections.abc import Mapping


class Cache(Table):
    """The cache."""

    memory_mib: int = setting(
        64,
        "Memory for cached values in each web process; the least recently used go first.",
        unit="MiB",
        bounds=(1, 65_536),
    )


def gives(context: Context) -> Mapping[str, Any]:
    """How much memory it may take."""
    return {"cache": CachePlace(memory_mib=context.table("cache", Cache).memory_mib)}


TIER = Tier(name="cache", index=4, rung=1, settings=Cache, gives=gives)
