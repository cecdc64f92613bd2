"""Wait for something to become true, within a bound. It never sleeps for a fixed time."""

from __future__ import annotations

import asyncio
import inspect
import time
from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

FIRST_PAUSE_S = 0.005
"""The first look again comes soon: most things are true at once."""

LONGEST_PAUSE_S = 0.1
"""Pauses double up to this, so that waiting costs little on a busy machine."""


async def eventually(
    check: Callable[[], T | Awaitable[T]], *, within_s: float = 10.0, saying: str = ""
) -> T:
    """Call `check` (sync or async) until it answers something true; return that.

    An exception from `check` counts as "not yet". Raise AssertionError after `within_s` seconds,
    with the last value or exception in its message.
    """
    deadline = time.monotonic() + within_s
    pause_s = FIRST_PAUSE_S
    while True:
        last: object
        try:
            answer = check()
            value: Any = (await answer) if inspect.isawaitable(answer) else answer
            if value:
                return cast("T", value)
            last = value
        except Exception as error:  # noqa: BLE001  # whatever it is, it is said at the end
            last = error
        if time.monotonic() >= deadline:
            what = saying or getattr(check, "__name__", "the check")
            raise AssertionError(f"{what}: not within {within_s} s; last: {last!r}") from (
                last if isinstance(last, Exception) else None
            )
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
