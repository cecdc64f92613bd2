"""Policy: how long an answer is kept, and what the cache counts. It acts on nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass

from millions.errors import SdkError

TTL_S = 60.0
"""How long an answer is fresh when nothing else is said."""

NEGATIVE_TTL_S = 5.0
"""How long "there is none" is believed when nothing else is said; never longer than the TTL."""

JITTER = 0.1
"""Each time to live is shortened by up to this part by chance, so that what was stored together
does not expire together."""

REFRESH_PAUSE_S = 1.0
"""After a refresh that failed, the next one is tried this much later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How long an answer is fresh, an absent one too, and how long a stale one may still serve."""

    ttl_s: float = TTL_S
    negative_ttl_s: float = NEGATIVE_TTL_S
    stale_s: float = 0.0

    @property
    def longest_s(self) -> float:
        """What is not near may have been kept by other rules, but is not for longer than this."""
        return max(self.ttl_s, self.negative_ttl_s)

    def life_s(self, kept: object, chance: float) -> float:
        """How long `kept` is fresh; `chance` is between 0 and 1."""
        ttl_s = self.negative_ttl_s if kept is None else self.ttl_s
        return ttl_s * (1.0 - JITTER * chance)


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """What the cache of this process did since it was made, and what it holds.

    `misses` are those of its memory; of these the servers answered `server_hits`, and could not be
    asked for `server_away`. `loads` counts calls of loaders.
    """

    hits: int
    stale_hits: int
    misses: int
    loads: int
    bypassed: int
    refresh_failures: int
    evictions: int
    too_large: int
    entries: int
    used_bytes: int
    capacity_bytes: int
    pending: int
    listening: bool
    listening_losses: int
    server_hits: int = 0
    server_misses: int = 0
    server_away: int = 0
    servers: int = 0
    servers_used: int = 0


def policy(*, ttl_s: float, negative_ttl_s: float | None, stale_s: float) -> Policy:
    """Check the times. Raise SdkError when one is not a time."""
    negative_s = min(ttl_s, NEGATIVE_TTL_S) if negative_ttl_s is None else negative_ttl_s
    for name, value, least in (
        ("ttl_s", ttl_s, 0.001),
        ("negative_ttl_s", negative_s, 0.0),
        ("stale_s", stale_s, 0.0),
    ):
        if not math.isfinite(value) or value < least:
            raise SdkError(
                cannot=f"cache with {name}={value!r}",
                because=f"it is a number of seconds, {least:g} at least",
                try_=f"{name}=60",
            )
    return Policy(ttl_s=ttl_s, negative_ttl_s=negative_s, stale_s=stale_s)
