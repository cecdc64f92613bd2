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

_lock = threading.Lock()
_last_ms = 0
_counter = 0


def uuid7() -> UUID:
    """Make a new id, larger than every id that this process made before.

    Holds when the clock stands still or goes back: the time part then waits for the clock.
    """
    global _last_ms, _counter  # noqa: PLW0603  # the order is a property of the whole process
    random = int.from_bytes(os.urandom(10), "big")
    now_ms = time.time_ns() // 1_000_000
    with _lock:
        if now_ms > _last_ms:
            _last_ms = now_ms
            _counter = (random >> TAIL_BITS) & COUNTER_SEED_MAX
        elif _counter < COUNTER_MAX:
            _counter += 1
        else:
            _last_ms += 1
            _counter = 0
        head = (_last_ms << 80) | (_counter << 64)
    return UUID(int=head | VERSION_AND_VARIANT | (random & TAIL_MASK))


def made_at(identifier: UUID) -> datetime:
    """When `identifier` was made, to the millisecond. Raise ValueError when it is no UUID 7."""
    if identifier.version != 7:  # noqa: PLR2004  # the version that this file makes
        raise ValueError(f"{identifier} is a UUID of version {identifier.version}, not 7")
    return datetime.fromtimestamp((identifier.int >> 80) / 1000, tz=UTC)
