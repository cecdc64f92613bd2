"""One subscription: what was heard and not yet read. Bounded; it never makes a publisher wait."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Self

from millions.sdk.events.envelope import MISSED, Event, checked, matches

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

ROOM = 1_000
"""Events that wait for a reader; more are missed, and the reader is told so."""


class Subscription:
    """`async with events.subscribe("photo.*") as heard: async for event in heard: …`."""

    def __init__(
        self,
        patterns: Sequence[str],
        *,
        room: int,
        join: Callable[[Subscription], Awaitable[None]],
        leave: Callable[[Subscription], Awaitable[None]],
    ) -> None:
        self.patterns = tuple(checked(each) for each in patterns)
        self._room = room
        self._join = join
        self._leave = leave
        self._waiting: deque[Event] = deque()
        self._missed = False
        self._heard = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._heard = asyncio.Event()
        await self._join(self)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._leave(self)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        while True:
            if self._waiting:
                return self._waiting.popleft()
            if self._missed:
                self._missed = False
                return MISSED
            self._heard.clear()
            await self._heard.wait()

    def offer(self, event: Event) -> None:
        """Hear an event, when it is one of those; or that some were missed."""
        if event.missed or (
            len(self._waiting) >= self._room
            and any(matches(each, event.name) for each in self.patterns)
        ):
            self._missed = True
        elif any(matches(each, event.name) for each in self.patterns):
            if self._missed:  # in their order: what was missed came before this one
                self._missed = False
                self._waiting.append(MISSED)
            self._waiting.append(event)
        else:
            return
        self._heard.set()
