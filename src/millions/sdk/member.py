"""One server of a shard: the connections of this process to it, and how far it has come.

It connects, counts and cuts. Who is the primary and who is asked, `topology.py` decides.
"""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from millions.sdk import driver
from millions.sdk.position import BYTES
from millions.sdk.seats import Seats

if TYPE_CHECKING:
    from datetime import datetime

    import asyncpg

    from millions.directory import DatabasePlace, Endpoint

    Connection = asyncpg.Connection[Any]


class Role(Enum):
    """What a server said of itself last."""

    UNKNOWN = "unknown"
    PRIMARY = "primary"
    REPLICA = "replica"


class Member:
    """One server. Made without I/O, on the event loop that uses it."""

    def __init__(
        self, place: DatabasePlace, endpoint: Endpoint, *, name: str, shard: str, wait_s: float
    ) -> None:
        self.endpoint = endpoint
        self.arguments = driver.arguments(place, endpoint, name=name)
        self.engine = driver.engine(self.connect, pool_size=place.pool_size)
        self.seats = Seats(place.pool_size, shard=shard, wait_s=wait_s)
        self.role = Role.UNKNOWN
        self.answers = False
        self.looked = False
        """Whether anything is known of it, be it that it does not answer."""

        self.started: datetime | None = None
        """When its server was started, as far as known: another one after a restart."""

        self.reached = 0
        self.reached_at_s = float("-inf")
        self._open: WeakSet[Connection] = WeakSet()
        self._opening: set[asyncio.Future[Connection]] = set()

    @property
    def timeline(self) -> int:
        """The timeline that it writes or follows, as far as known."""
        return self.reached >> BYTES

    def came(self, reached: int, at_s: float) -> None:
        """Note how far it has come, and when that was said."""
        self.reached, self.reached_at_s = reached, at_s

    async def connect(self, name: str | None = None) -> Connection:
        """Open a connection, called `name`. Raise ConnectionAbortedError when cut meanwhile."""
        wanted = self.arguments
        if name is not None:
            settings = {**wanted["server_settings"], "application_name": name}
            wanted = {**wanted, "server_settings": settings}
        opening = asyncio.ensure_future(driver.connect_with(wanted))
        self._opening.add(opening)
        try:
            await asyncio.wait([opening])
        except asyncio.CancelledError:
            opening.cancel()
            opening.add_done_callback(_drop)
            raise
        finally:
            self._opening.discard(opening)
        if opening.cancelled():
            raise ConnectionAbortedError(f"{self.endpoint.host} is not used any more")
        connection = opening.result()
        self._open.add(connection)
        return connection

    def stop_opening(self) -> None:
        """Wait no longer for connections that the server has not accepted yet."""
        for opening in list(self._opening):
            opening.cancel()

    def cut(self) -> None:
        """End every connection at once, without a word to the server, which may be frozen."""
        self.stop_opening()
        for connection in list(self._open):
            if not connection.is_closed():
                connection.terminate()

    async def close(self, within_s: float) -> None:
        """Close idle connections, drop what is in use."""
        await driver.dispose(self.engine, within_s=within_s)


def _drop(opening: asyncio.Future[Connection]) -> None:
    """End a connection that came too late for whoever wanted it."""
    if not opening.cancelled() and opening.exception() is None:
        opening.result().terminate()
