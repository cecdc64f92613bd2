"""How workers hear of new tasks: a hint, never the truth. The rows are the truth.

Workers of this process are told first; others only of what those have no room for. Nothing is
sent within the transaction that enqueues: NOTIFY there would make all such commits wait for each
other. A hint that is lost is made good by the worker's slow poll.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

import asyncpg

from millions.sdk.log import log
from millions.sdk.tasks.statements import CHANNEL

if TYPE_CHECKING:
    from collections.abc import Callable

SPACING_S = 0.005
"""Hints of this long are sent as one."""

PAYLOAD_MAX = 7000
"""PostgreSQL takes 8000 bytes; an empty payload means every queue."""


class Listener(Protocol):
    """A worker of this process."""

    def offered(self, queue: str, count: int) -> int:
        """Hear that `queue` has `count` more tasks; answer how many of them it has room for."""
        ...

    def look_again(self) -> None:
        """Hear that older tasks became ready somewhere."""


class Wake(Protocol):
    """What carries the hints: PostgreSQL here, a message queue from rung 9 on."""

    def announce(self, queue: str, count: int) -> None:
        """Say, after the commit, that `queue` has `count` new tasks. Never blocks or raises."""

    def announce_again(self) -> None:
        """Say to workers elsewhere that tasks from earlier are ready again."""

    def join(self, listener: Listener) -> Callable[[], None]:
        """Tell a worker of this process from now on; the answer ends it."""
        ...

    async def listen(self, connection: asyncpg.Connection[Any], listener: Listener) -> None:
        """Tell a worker what other processes say, as long as its `connection` lives."""

    async def close(self) -> None:
        """Send what was not sent yet."""


class PostgresWake:
    """Hints by LISTEN and NOTIFY, sent outside of transactions."""

    def __init__(self, pool: Callable[[], asyncpg.Pool[Any]]) -> None:
        self._pool = pool
        self._listeners: list[Listener] = []
        self._pending: set[str] = set()
        self._sending: asyncio.Task[None] | None = None

    def announce(self, queue: str, count: int) -> None:
        """Tell workers here; when they have not room for all, those of other processes."""
        for listener in self._listeners:
            count -= listener.offered(queue, count)
            if count <= 0:
                return
        self._say(queue)

    def announce_again(self) -> None:
        """Tell the workers of other processes to look from the oldest task on."""
        self._say("!")

    def join(self, listener: Listener) -> Callable[[], None]:
        """Add a worker of this process."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    async def listen(self, connection: asyncpg.Connection[Any], listener: Listener) -> None:
        """LISTEN on the worker's own connection."""

        def heard(*message: Any) -> None:
            for queue in str(message[-1]).split(","):
                if queue == "!":
                    listener.look_again()
                else:
                    listener.offered(queue, 1)

        await connection.add_listener(CHANNEL, heard)

    async def close(self) -> None:
        """Wait for what is being sent."""
        if self._sending is not None:
            await self._sending

    def _say(self, word: str) -> None:
        self._pending.add(word)
        if self._sending is None or self._sending.done():
            self._sending = asyncio.get_running_loop().create_task(self._send())

    async def _send(self) -> None:
        while self._pending:
            payload = ",".join(sorted(self._pending))
            self._pending.clear()
            try:
                await self._pool().execute(
                    "SELECT pg_notify($1, $2)", CHANNEL, payload[:PAYLOAD_MAX], timeout=5
                )
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
                log.warning("tasks are not announced; workers poll", because=str(error))
            await asyncio.sleep(SPACING_S)
