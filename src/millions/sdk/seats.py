"""Who may use a connection next: blocks in the order in which they came.

It holds no connection. SQLAlchemy's pool wakes a waiter, and whoever gives a connection back and
asks again at once takes it first; with more loops than connections some then wait for ever.
"""

from __future__ import annotations

import asyncio

from millions.errors import UnavailableError


class Seats:
    """As many blocks at a time as there are connections; each waits `wait_s` seconds at most.

    `asked` counts those who sit or wait.
    """

    __slots__ = ("_count", "_free", "_shard", "_wait_s", "asked")

    def __init__(self, count: int, *, shard: str, wait_s: float) -> None:
        self._count = count
        self._shard = shard
        self._wait_s = wait_s
        self._free = asyncio.Semaphore(count)
        self.asked = 0

    async def take(self) -> None:
        """Take a seat. Raise UnavailableError when none was free in time."""
        self.asked += 1
        try:
            if not self._free.locked():
                await self._free.acquire()
                return
            async with asyncio.timeout(self._wait_s):
                await self._free.acquire()
        except TimeoutError:
            self.asked -= 1
            raise UnavailableError(
                cannot=f"get a connection to {self._shard}",
                because=f"all {self._count} were in use for {self._wait_s:g} s",
                try_="a larger pool_size, or shorter blocks: nothing slow inside `async with db.…`",
            ) from None
        except BaseException:
            self.asked -= 1
            raise

    def give(self) -> None:
        """Give the seat to the one who waits longest."""
        self.asked -= 1
        self._free.release()
