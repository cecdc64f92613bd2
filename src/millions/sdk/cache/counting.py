"""Counting: what the cache of this process did, put together for who asks. It acts on nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from millions.sdk.cache.policy import Statistics

if TYPE_CHECKING:
    from millions.sdk.cache.coherence import Coherence
    from millions.sdk.cache.memory import Memory
    from millions.sdk.cache.remote import Remote


class Counts:
    """What the cache counts by itself."""

    __slots__ = ("bypassed", "hits", "misses", "refresh_failures", "stale_hits")

    def __init__(self) -> None:
        self.hits = self.stale_hits = self.misses = self.bypassed = self.refresh_failures = 0


def statistics(
    counts: Counts,
    memory: Memory,
    coherence: Coherence,
    *,
    remote: Remote | None,
    flights: int,
    listening_losses: int,
) -> Statistics:
    """What was counted, and what is held."""
    asked = None if remote is None else remote.counts
    servers = () if remote is None else remote.servers.all
    return Statistics(
        hits=counts.hits,
        stale_hits=counts.stale_hits,
        misses=counts.misses,
        loads=flights - (asked.shared if asked else 0),
        bypassed=counts.bypassed,
        refresh_failures=counts.refresh_failures,
        evictions=memory.evictions,
        too_large=memory.too_large + (asked.too_large if asked else 0),
        entries=len(memory.entries),
        used_bytes=memory.used_bytes,
        capacity_bytes=memory.capacity_bytes,
        pending=len(coherence.pending),
        listening=coherence.hearing,
        listening_losses=listening_losses,
        server_hits=asked.hits if asked else 0,
        server_misses=asked.misses if asked else 0,
        server_away=asked.away if asked else 0,
        servers=len(servers),
        servers_used=sum(each.link.wire is not None for each in servers),
    )
