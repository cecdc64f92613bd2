"""A lease: the right of one process to load an entry and to put it on its server.

Whoever invalidates the entry takes it away; a holder that dies lets it run out. It loads nothing.
Source: "Scaling Memcache at Facebook" (NSDI 2013), leases.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from millions.sdk.cache import scripts
from millions.sdk.valkey import AwayError

if TYPE_CHECKING:
    from millions.sdk.valkey import Wire

LEASE_MS = 1000
"""Others wait this long for a holder that died, and for one that a frozen server learns of when
nobody waits any more. One that lives renews it."""

RENEW_EVERY_S = LEASE_MS / 1000 / 3


class Lease:
    """Held until it is filled or given back. `stamps` are those of the entry's tags."""

    __slots__ = ("_key", "_timer", "_token", "_wire", "stamps")

    def __init__(self, wire: Wire, key: str, token: str, stamps: tuple[bytes, ...]) -> None:
        self.stamps = stamps
        self._wire = wire
        self._key = key
        self._token = token
        self._timer = asyncio.get_running_loop().call_later(RENEW_EVERY_S, self._renew)

    def fill(self, data: bytes, life_s: float) -> asyncio.Future[int] | None:
        """Put the entry on the server, unless the lease is lost; None when the server is away."""
        return self._end(data, max(1, int(life_s * 1000)))

    def give_back(self) -> None:
        """Let another one load."""
        self._end(b"", 0)

    def _end(self, data: bytes, life_ms: int) -> asyncio.Future[int] | None:
        self._timer.cancel()
        keys = [scripts.entry(self._key), scripts.lease(self._key)]
        try:
            return self._wire.run(scripts.FILL, keys, self._token, data, life_ms)
        except AwayError:
            return None

    def _renew(self) -> None:
        try:
            self._wire.run(scripts.RENEW, [scripts.lease(self._key)], self._token, LEASE_MS)
        except AwayError:
            return
        self._timer = asyncio.get_running_loop().call_later(RENEW_EVERY_S, self._renew)
