"""Flights: loader calls under way, one for each key, whose answer all who ask for the key share.

A flight runs in a task of its own, so that a caller who is cancelled takes nobody along; it is
cancelled when nobody waits any more, and after a bound. A flight that a commit overtook is let go:
those who wait get its answer, nobody joins it and nothing is stored. It never stores anything.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextvars import ContextVar
from itertools import islice
from typing import TYPE_CHECKING, Any

from millions.errors import SdkError, UnavailableError
from millions.sdk import position
from millions.sdk.cache.values import Frozen, freeze

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from millions.sdk.cache.leases import Lease

    Loader = Callable[[], Awaitable[Any]]

CANCEL_LIMIT_S = 5.0
"""A loader that swallows its cancellation keeps nobody who shuts down longer than this."""

LOAD_LIMIT_S = 30.0
"""A loader that takes longer is cancelled: it would hold everyone who asks for its key."""

FORGOTTEN_MAX = 64
"""This many of the latest invalidations are remembered for those who ask a server meanwhile: most
see none. Who waited for longer than that takes what they got for forgotten."""


class Flight:
    """One loader call; `storable` until a commit or a lost connection overtakes it.

    `lease` is its right to put the answer on a server; `until_s` (unix seconds) says until when the
    answer is fresh, where another process has loaded it.
    """

    __slots__ = ("lease", "names", "seen", "storable", "task", "until_s", "waiting")

    def __init__(self, names: tuple[str, ...], *, storable: bool) -> None:
        self.names = names
        self.storable = storable
        self.waiting = 0
        seen = position.current.get()
        self.seen = position.Seen() if seen is None else position.Seen(dict(seen.positions))
        self.task: asyncio.Task[Frozen] | None = None
        self.lease: Lease | None = None
        self.until_s: float | None = None

    async def answer(self) -> Frozen:
        """Wait for the loader; the last one who stops waiting cancels it."""
        task = self.task
        assert task is not None  # noqa: S101  # Flights starts it before anyone can ask
        self.waiting += 1
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled() and not _is_cancelled():
                raise UnavailableError(
                    cannot=f"load {self.names[0]!r} into the cache",
                    because="its loader was cancelled",
                    try_="ask again",
                ) from None
            raise
        finally:
            position.saw(self.seen)
            self.waiting -= 1
            if not self.waiting and not task.done():
                task.cancel()

    def ended(self, _task: asyncio.Task[Frozen]) -> None:
        """Give back the right that was not used."""
        lease, self.lease = self.lease, None
        if lease is not None:
            lease.give_back()


_ABOVE: ContextVar[tuple[Flight, ...]] = ContextVar("millions_cache_flights", default=())
"""The flights whose loaders led to the code that runs now."""


class Flights:
    """The loader calls under way in this process."""

    def __init__(self, limit_s: float = LOAD_LIMIT_S) -> None:
        self.limit_s = limit_s
        self.started = 0
        self.forgotten = 0
        """How often something was let go of."""

        self._by_key: dict[str, Flight] = {}
        self._forgotten: deque[Collection[str] | None] = deque(maxlen=FORGOTTEN_MAX)
        self._running: set[asyncio.Task[Frozen]] = set()

    def of(self, key: str) -> Flight | None:
        """The flight to join, if there is one. Raise SdkError when it would wait for itself."""
        flight = self._by_key.get(key)
        if flight is None or flight.task is None or flight.task.cancelling():
            return None
        if flight in _ABOVE.get():
            raise SdkError(
                cannot=f"load {key!r} into the cache",
                because="its loader asks for the same key, and would wait for itself",
                try_="call the function that is cached through its __wrapped__ attribute",
            )
        return flight

    def start(
        self, flight: Flight, loader: Loader, landed: Callable[[Flight, Frozen], None]
    ) -> Flight:
        """Call `loader`; `landed` gets its answer before anyone who waits."""
        key = flight.names[0]
        self.started += 1
        self._by_key[key] = flight
        flight.task = asyncio.create_task(self._fly(flight, loader, landed), name=f"load {key}")
        self._running.add(flight.task)
        flight.task.add_done_callback(self._running.discard)
        flight.task.add_done_callback(flight.ended)
        return flight

    def overtook(self, names: Collection[str], since: int) -> bool:
        """Whether one of `names` may have been let go of since `forgotten` was `since`."""
        times = self.forgotten - since
        if not times:
            return False
        if times > len(self._forgotten):
            return True
        latest = islice(reversed(self._forgotten), times)
        return any(each is None or any(name in each for name in names) for each in latest)

    def let_go(self, names: Collection[str]) -> None:
        """Have nobody join, and nothing store, what answers to one of `names`."""
        self._forget(names)
        for flight in list(self._by_key.values()):
            if any(name in names for name in flight.names):
                self._let_go(flight)

    def let_all_go(self) -> None:
        """Have nobody join, and nothing store, anything."""
        self._forget(None)
        for flight in list(self._by_key.values()):
            self._let_go(flight)

    async def cancel_all(self) -> None:
        """Stop every loader, and wait until they are gone, for a bounded time."""
        self.let_all_go()
        running = list(self._running)
        for task in running:
            task.cancel()
        if not running:
            return
        done, _ = await asyncio.wait(running, timeout=CANCEL_LIMIT_S)
        for task in done:
            if not task.cancelled():
                task.exception()  # whoever waited for it has got it

    def _forget(self, names: Collection[str] | None) -> None:
        self.forgotten += 1
        self._forgotten.append(names)

    def _let_go(self, flight: Flight) -> None:
        flight.storable = False
        key = flight.names[0]
        if self._by_key.get(key) is flight:
            del self._by_key[key]

    async def _fly(
        self, flight: Flight, loader: Loader, landed: Callable[[Flight, Frozen], None]
    ) -> Frozen:
        key = flight.names[0]
        _ABOVE.set((*_ABOVE.get(), flight))
        position.current.set(flight.seen)  # not the user's who happens to ask first
        position.filling.set(True)
        limit = asyncio.timeout(self.limit_s)
        try:
            async with limit:
                frozen = freeze(await loader())
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise UnavailableError(
                cannot=f"load {key!r} into the cache",
                because=f"its loader took longer than {self.limit_s} s",
                try_="a time limit inside the loader, on what it waits for",
            ) from error
        else:
            landed(flight, frozen)
            return frozen
        finally:
            if self._by_key.get(key) is flight:
                del self._by_key[key]


def _is_cancelled() -> bool:
    """Whether the task that runs now is being cancelled itself."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
