"""How workers hear of new tasks: a hint, never the truth. The rows are the truth.

Workers of this process are told first. What those have no room for is told to one other, by chance,
which hands on what it has no room for either; only after some of that everybody is told. Telling
everybody at once had every worker ask the database about each task (measured: decision 0019).

The database carries hints, by NOTIFY outside of the transaction that enqueues: inside it all such
commits would wait for each other. Where the stack has a message queue, that does. A hint that is
lost is made good by the worker's slow poll.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

from millions.sdk.log import log
from millions.sdk.queue_link import Link
from millions.sdk.retry import DRIVER_ERRORS
from millions.sdk.tasks.statements import CHANNEL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import asyncpg

    from millions.directory import QueuePlace

SPACING_S = 0.005
"""Hints of this long are sent as one."""

PAYLOAD_MAX = 7000
"""PostgreSQL takes 8000 bytes."""

CLOSE_LIMIT_S = 5.0
"""Hints that are not sent this long after the noun was closed are lost: workers poll."""

HOPS = 3
"""So often a hint is handed on before everybody is told."""

EVERYBODY = "SELECT pg_notify($1, $2)"
ONE = """
    SELECT pg_notify($1 || '_' || id, $2) FROM (
        SELECT id FROM millions.task_workers WHERE missing_since IS NULL
        ORDER BY random() LIMIT 1
    ) AS chosen
"""
PREFIX, HINT, GROUP = "tasks.", "hint", "workers"
"""The subject at the broker, and the group of which one member hears each message."""


class Listener(Protocol):
    """A worker of this process."""

    def offered(self, queue: str, count: int) -> int:
        """Hear that `queue` has `count` more tasks; answer how many of them it has room for."""
        ...

    def look_again(self) -> None:
        """Hear that older tasks became ready somewhere."""


class Wake(Protocol):
    """What carries the hints."""

    def announce(self, queue: str, count: int) -> None:
        """Say, after the commit, that `queue` has `count` new tasks. Never blocks or raises."""

    def announce_again(self) -> None:
        """Say to workers elsewhere that tasks from earlier are ready again."""

    def join(self, listener: Listener) -> Callable[[], None]:
        """Tell a worker of this process from now on; the answer ends it."""
        ...

    async def listen(self, connection: asyncpg.Connection[Any], worker: int) -> None:
        """Hear what other processes say to `worker`, as long as its `connection` lives."""

    async def use(self, place: QueuePlace, name: str) -> None:
        """Let the message queue at `place` carry hints, where it has servers."""

    async def close(self) -> None:
        """Send what was not sent yet."""


class Hints:
    """Hints by the database, or by the message queue of the stack."""

    def __init__(self, pool: Callable[[], asyncpg.Pool[Any]]) -> None:
        self._pool = pool
        self._listeners: list[Listener] = []
        self._pending: dict[int, dict[str, int]] = {}
        self._everybody: set[str] = set()
        self._sending: asyncio.Task[None] | None = None
        self._place: QueuePlace | None = None
        self._link: Link | None = None
        self._wanting: set[asyncio.Task[None]] = set()

    def announce(self, queue: str, count: int) -> None:
        """Tell workers here; of what they have no room for, one of another process."""
        self._tell(queue, count, HOPS)

    def announce_again(self) -> None:
        """Tell the workers of other processes to look from the oldest task on."""
        self._everybody.add("!")
        self._send_soon()

    def join(self, listener: Listener) -> Callable[[], None]:
        """Add a worker of this process."""
        self._listeners.append(listener)
        self._want()

        def leave() -> None:
            self._listeners.remove(listener)
            self._want()

        return leave

    async def listen(self, connection: asyncpg.Connection[Any], worker: int) -> None:
        """LISTEN on the worker's own connection: to what is said to everybody, and to it alone."""

        def told(*said: Any) -> None:
            self._told(str(said[-1]))

        def handed(*said: Any) -> None:
            self._handed(str(said[-1]))

        await connection.add_listener(CHANNEL, told)
        await connection.add_listener(f"{CHANNEL}_{worker}", handed)

    async def use(self, place: QueuePlace, name: str) -> None:
        """Hand hints to the message queue, or to none when `place` has no servers."""
        if place == self._place:
            return
        self._place = place
        former, self._link = self._link, None
        if place.servers:
            self._link = Link(place, self, name=name, prefix=PREFIX, group=GROUP)
            self._link.open()
            self._want()
        if former is not None:
            await former.close()

    async def close(self) -> None:
        """Wait for what is being sent, within a bound."""
        sending, self._sending = self._sending, None
        if sending is not None:
            await asyncio.wait([sending], timeout=CLOSE_LIMIT_S)
            sending.cancel()
        link, self._link, self._place = self._link, None, None
        if link is not None:
            await link.close()

    def carried(self, payload: bytes) -> None:
        """Hear what the message queue carried to this process alone."""
        self._handed(payload.decode())

    def link_up(self) -> None:
        """Hints went elsewhere meanwhile: look."""
        for listener in self._listeners:
            listener.look_again()

    def link_down(self) -> None:
        """Hints that were under way are lost: look."""
        self.link_up()

    def _told(self, words: str) -> None:
        """Hear what everybody hears."""
        for queue in words.split(","):
            for listener in self._listeners:
                if queue == "!":
                    listener.look_again()
                else:
                    listener.offered(queue, 1)

    def _handed(self, payload: str) -> None:
        """Hear what nobody else does: take what there is room for, hand on the rest."""
        hops, _, words = payload.partition(";")
        for word in words.split(","):
            queue, _, count = word.partition("=")
            self._tell(queue, int(count), int(hops))

    def _tell(self, queue: str, count: int, hops: int) -> None:
        for listener in self._listeners:
            count -= listener.offered(queue, count)
            if count <= 0:
                return
        if hops:
            hints = self._pending.setdefault(hops - 1, {})
            hints[queue] = hints.get(queue, 0) + count
        else:
            self._everybody.add(queue)
        self._send_soon()

    def _want(self) -> None:
        """Be of the group while there is a worker here."""
        if self._link is not None:
            patterns = [HINT] if self._listeners else []
            task = asyncio.get_running_loop().create_task(self._link.want(patterns))
            self._wanting.add(task)
            task.add_done_callback(self._wanting.discard)

    def _send_soon(self) -> None:
        if self._sending is None or self._sending.done():
            self._sending = asyncio.get_running_loop().create_task(self._send())

    async def _send(self) -> None:
        while self._pending or self._everybody:
            pending, self._pending = self._pending, {}
            everybody, self._everybody = self._everybody, set()
            try:
                for hops, hints in pending.items():
                    for payload in _payloads(hops, hints):
                        await self._send_to_one(payload)
                if everybody:
                    payload = ",".join(sorted(everybody))[:PAYLOAD_MAX]
                    await self._pool().execute(EVERYBODY, CHANNEL, payload, timeout=5)
            except DRIVER_ERRORS as error:
                log.warning("tasks are not announced; workers poll", because=str(error))
            await asyncio.sleep(SPACING_S)

    async def _send_to_one(self, payload: str) -> None:
        link = self._link
        if link is None or not await link.publish(HINT, payload.encode()):
            await self._pool().execute(ONE, CHANNEL, payload, timeout=5)


def _payloads(hops: int, hints: dict[str, int]) -> Iterator[str]:
    """The hints as messages, none of them too long."""
    words: list[str] = []
    length = 0
    for queue, count in hints.items():
        word = f"{queue}={count}"
        if length + len(word) > PAYLOAD_MAX:
            yield f"{hops};{','.join(words)}"
            words, length = [], 0
        words.append(word)
        length += len(word) + 1
    if words:
        yield f"{hops};{','.join(words)}"
