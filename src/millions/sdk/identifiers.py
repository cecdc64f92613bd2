"""Ids that any process can make alone and that sort by their time: UUID version 7.

It never asks a server and never repeats itself within a process. Source: RFC 9562, section 6.2,
method 1 (a counter in the twelve bits after the milliseconds).
"""

from __future__ import annotations

import os
import threading
import time
from datetime import UTC, datetime
from uuid import UUID

COUNTER_BITS = 12
COUNTER_MAX = (1 << COUNTER_BITS) - 1

COUNTER_SEED_MAX = COUNTER_MAX >> 1
"""A new millisecond starts somewhere in the lower half, so that at least 2,048 more fit in it."""

TAIL_BITS = 62
TAIL_MASK = (1 << TAIL_BITS) - 1
VERSION_AND_VARIANT = (7 << 76) | (2 << 62)


class Order:
    """Makes ids of a time and some chance, each larger than the one before. Threads may share it.

    Holds when the clock stands still or goes back: the time part then waits for the clock.
    """

    __slots__ = ("_counter", "_last_ms", "_lock")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last_ms = 0
        self._counter = 0

    def next(self, now_ms: int, chance: int) -> UUID:
        """Make an id of `now_ms` (since 1970) and 80 bits of `chance`."""
        with self._lock:
            if now_ms > self._last_ms:
                self._last_ms = now_ms
                self._counter = (chance >> TAIL_BITS) & COUNTER_SEED_MAX
            elif self._counter < COUNTER_MAX:
                self._counter += 1
            else:
                self._last_ms += 1
                self._counter = 0
            head = (self._last_ms << 80) | (self._counter << 64)
        return UUID(int=head | VERSION_AND_VARIANT | (chance & TAIL_MASK))


_order = Order()


def uuid7() -> UUID:
    """Make a new id, larger than every id that this process made before."""
    return _order.next(time.time_ns() // 1_000_000, int.from_bytes(os.urandom(10), "big"))


def made_at(identifier: UUID) -> datetime:
    """When `identifier` was made, to the millisecond. Raise ValueError when it is no UUID 7."""
    if identifier.version != 7:  # noqa: PLR2004  # the version that this file makes
        raise ValueError(f"{identifier} is a UUID of version {identifier.version}, not 7")
    return datetime.fromtimestamp((identifier.int >> 80) / 1000, tz=UTC)
