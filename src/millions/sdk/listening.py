"""Listening: hears what other processes of the stack have committed, and knows when it is deaf.

The cache and events hear by it. While it is deaf (not yet connected, or the connection is lost or
silent) it says so; what follows from that is for those who hear to decide.
Source: PostgreSQL LISTEN/NOTIFY; a notification is delivered only when its transaction commits.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any, Protocol

from millions.errors import MillionsError
from millions.sdk.retry import DRIVER_ERRORS

if TYPE_CHECKING:
    from collections.abc import Callable

    import asyncpg

    Connection = asyncpg.Connection[Any]

HEARTBEAT_S = 1.0
"""A connection that died without a word is noticed within this and the next bound."""

HEARTBEAT_LIMIT_S = 1.0
CONNECT_LIMIT_S = 5.0
CLOSE_LIMIT_S = 2.0

FIRST_BACKOFF_S = 0.05
LAST_BACKOFF_S = 2.0
"""Pauses before connecting again double up to this, each shortened by chance by up to a half."""

_LOST = (*DRIVER_ERRORS, TimeoutError, MillionsError)


class ListenSource(Protocol):
    """Where connections for LISTEN come from: the database."""

    async def listener(self) -> Connection:
        """Open a connection that the caller closes."""
        ...


class Ears(Protocol):
    """Who wants to know."""

    def hear(self, payload: str) -> None:
        """Called for each notification."""

    def deaf(self) -> None:
        """Called when notifications may be missed from now on; called again is harmless."""

    def listening(self) -> None:
        """Called when no notification will be missed from now on."""


class Listening:
    """Keeps one connection listening on `channel`, for as long as it is open."""

    def __init__(self, source: ListenSource, ears: Ears, channel: str) -> None:
        self._source = source
        self._channel = channel
        self._ears = ears
        self._task: asyncio.Task[None] | None = None
        self._connected = asyncio.Event()
        self.losses = 0

    async def open(self) -> None:
        """Begin; return once connected, or after `CONNECT_LIMIT_S`, deaf and still trying."""
        self._connected = asyncio.Event()  # of this event loop, which may be another one
        self._task = asyncio.create_task(self._run(), name=f"listening {self._channel}")
        try:
            await asyncio.wait_for(self._connected.wait(), CONNECT_LIMIT_S)
        except TimeoutError:
            return

    async def close(self) -> None:
        """Stop listening and give the connection back."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self._connected.clear()

    async def _run(self) -> None:
        backoff_s = FIRST_BACKOFF_S
        while True:
            connected = await self._listen_once()
            self.losses += connected
            backoff_s = FIRST_BACKOFF_S if connected else min(backoff_s * 2, LAST_BACKOFF_S)
            await asyncio.sleep(backoff_s * random.uniform(0.5, 1.0))  # noqa: S311  # no secret

    async def _listen_once(self) -> bool:
        """Listen until the connection is lost; say whether there was one."""
        connection: Connection | None = None
        connected = False
        try:
            connection = await asyncio.wait_for(self._source.listener(), CONNECT_LIMIT_S)
            lost = asyncio.Event()
            connection.add_termination_listener(_setting(lost))
            await asyncio.wait_for(
                connection.add_listener(self._channel, self._notified), CONNECT_LIMIT_S
            )
            connected = True
            self._ears.listening()
            self._connected.set()
            await _watch(connection, lost)
        except _LOST:
            pass  # the caller counts it, and tries again
        finally:
            self._ears.deaf()
            if connection is not None:
                await _closed(connection)
        return connected

    def _notified(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        self._ears.hear(str(payload))


async def _watch(connection: Connection, lost: asyncio.Event) -> None:
    """Return when the connection says that it is gone; raise when it does not answer."""
    while not lost.is_set():
        try:
            await asyncio.wait_for(lost.wait(), HEARTBEAT_S)
        except TimeoutError:
            await connection.fetchval("SELECT 1", timeout=HEARTBEAT_LIMIT_S)


async def _closed(connection: Connection) -> None:
    """Close within a bound, with or without the server's help."""
    try:
        await connection.close(timeout=CLOSE_LIMIT_S)
    except _LOST:
        connection.terminate()


def _setting(event: asyncio.Event) -> Callable[[object], None]:
    """A callback that sets `event`."""

    def call(_connection: object) -> None:
        event.set()

    return call
