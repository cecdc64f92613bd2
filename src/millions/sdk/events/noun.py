"""`events`: publishes what happened, and lets any process hear of it. Fan-out, at most once.

The promise: a subscriber that is connected hears each event of a committed transaction once; of one
that was rolled back never. What it may have missed (its connection or the broker was lost, it reads
too slowly, a publisher died after its commit) it is told by an event that is `missed`. What must
not be missed is a task.

Embedded, LISTEN and NOTIFY carry events, outside of transactions: NOTIFY inside would make all such
commits wait for each other. With a broker NATS carries them, and the database while that is away.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import asyncpg

from millions.errors import CommitUnknownError, EventError, UnavailableError
from millions.sdk.events import envelope
from millions.sdk.events.envelope import MISSED, Event
from millions.sdk.events.subscription import ROOM, Subscription
from millions.sdk.identifiers import uuid7
from millions.sdk.listening import Listening
from millions.sdk.log import log
from millions.sdk.queue_link import Link
from millions.sdk.retry import Patience

if TYPE_CHECKING:
    from millions.directory import Directory, QueuePlace
    from millions.sdk.database import Database
    from millions.sdk.session import Session

CHANNEL = "millions_events"
PREFIX = "events."
NOTIFY = "SELECT pg_notify($1, payload) FROM unnest($2::text[]) AS payload"
BATCH_MAX = 500
STATEMENT_LIMIT_S = 5.0
SEEN_MAX = 10_000
"""Events that are remembered, so that one which comes both ways is heard once."""

BOTH_WAYS_S = 3.0
"""After the servers have changed events go both ways, until everybody has heard of it."""

CLOSE_LIMIT_S = 5.0
"""What is not told within this time after the noun was closed is not told."""

LOSS_WINDOW_S = 5.0
"""What was handed to a broker within this time before it was lost may be lost with it."""


class Events:
    """The noun. Made without I/O."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._is_open = False
        self._name = ""
        self._place: QueuePlace | None = None
        self._link: Link | None = None
        self._listening: Listening | None = None
        self._subscriptions: list[Subscription] = []
        self._joining = asyncio.Lock()
        self._pending: list[tuple[str, asyncio.Future[None]]] = []
        self._writing: asyncio.Task[None] | None = None
        self._sending: set[asyncio.Task[None]] = set()
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._both_until_s = 0.0
        self._carried_at_s = float("-inf")
        self._was_up = False

    async def open(self, directory: Directory) -> None:
        """Be ready to publish. `db` is open already."""
        self._is_open = True
        self._joining = asyncio.Lock()
        self._name = f"{directory.stack} {os.getpid()}"
        self._place = directory.queue
        self._connect(directory.queue)

    async def close(self) -> None:
        """Send what waits, within a bound; stop hearing."""
        self._is_open = False
        await self._sent()
        link, self._link = self._link, None
        if link is not None:
            await link.close()
        listening, self._listening = self._listening, None
        if listening is not None:
            await listening.close()

    async def follow(self, directory: Directory) -> None:
        """Use the broker that `directory` names from now on; no event is missed meanwhile."""
        if not self._is_open or directory.queue == self._place:
            return
        self._place = directory.queue
        self._both_until_s = time.monotonic() + BOTH_WAYS_S
        former, self._link, self._was_up = self._link, None, False
        self._connect(directory.queue)
        if former is not None:
            task = asyncio.create_task(_close_later(former), name="millions former queue")
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def publish(self, name: str, data: Any = None, *, session: Session | None = None) -> None:
        """Tell every subscriber that `name` happened; `data` is what a task takes, up to 7 kB.

        With `session` it is told after the commit, and never when there is none. Raise EventError
        for what cannot travel, UnavailableError when nothing carries it.
        """
        if not self._is_open:
            raise UnavailableError(
                cannot=f"publish event {name!r:.80}",
                because="events is not open in this process",
                try_="wrap the application in Millions(app), or millions.sdk.nouns.running()",
            )
        if not name:
            raise EventError(cannot="publish an event", because="it has no name", try_="a name")
        event = Event(name=name, data=data, id=uuid7().hex, published_at_s=time.time())
        payload = envelope.encode(event)
        if session is None:
            await self._send(name, payload)
        else:
            session.after_commit(lambda: self._send_soon(name, payload))

    def subscribe(self, *patterns: str, room: int = ROOM) -> Subscription:
        """Hear events whose name matches: `async with events.subscribe("photo.*") as heard:`.

        `*` stands for one word of a name, a last `>` for one or more. `room` events may wait for
        the reader.
        """
        if not patterns:
            raise EventError(
                cannot="subscribe", because="no name or pattern is given", try_='">" for all'
            )
        return Subscription(patterns, room=room, join=self._join, leave=self._leave)

    async def _sent(self) -> None:
        """Wait until everything is sent; who waits for what is not gets an error."""
        try:
            async with asyncio.timeout(CLOSE_LIMIT_S):
                while self._sending:
                    await asyncio.wait(self._sending)
                if self._writing is not None:
                    await asyncio.wait([self._writing])
        except TimeoutError:
            late = [*self._sending, *([self._writing] if self._writing else [])]
            for task in late:
                task.cancel()
            await asyncio.wait(late, timeout=CLOSE_LIMIT_S)

    # what Link and Listening say

    def hear(self, payload: str) -> None:
        """Hear what the database carried."""
        self._heard(envelope.decode(payload))

    def carried(self, payload: bytes) -> None:
        """Hear what the broker carried."""
        self._heard(envelope.decode(payload))

    def deaf(self) -> None:
        """The database's connection is lost; `listening` says what follows from it."""

    def listening(self) -> None:
        """It listens again: what came meanwhile was missed. The first time nothing was."""
        listening = self._listening
        if listening is not None and listening.losses:
            self._heard(MISSED)

    def link_up(self) -> None:
        """The broker is back, or there for the first time."""
        if self._was_up or self._subscriptions:
            self._heard(MISSED)
        self._was_up = True

    def link_down(self) -> None:
        """What was handed to the broker lately may be lost: everybody is told, by the database."""
        self._heard(MISSED)
        if time.monotonic() - self._carried_at_s < LOSS_WINDOW_S:
            self._send_soon("", envelope.encode(MISSED))

    def _connect(self, place: QueuePlace) -> None:
        if place.servers:
            self._link = Link(place, self, name=self._name, prefix=PREFIX)
            self._link.open()

    async def _join(self, subscription: Subscription) -> None:
        async with self._joining:
            self._subscriptions.append(subscription)
            try:
                if self._listening is None:
                    self._listening = Listening(self._db, self, CHANNEL)
                    await self._listening.open()
                await self._want()
            except BaseException:  # nobody leaves what they have not entered
                self._subscriptions.remove(subscription)
                raise

    async def _leave(self, subscription: Subscription) -> None:
        async with self._joining:
            self._subscriptions.remove(subscription)
            await self._want()
            if not self._subscriptions and self._listening is not None:
                listening, self._listening = self._listening, None
                await listening.close()

    async def _want(self) -> None:
        if self._link is not None:
            await self._link.want(
                pattern for each in self._subscriptions for pattern in each.patterns
            )

    def _heard(self, event: Event) -> None:
        if event.id:
            if event.id in self._seen:
                return
            self._seen[event.id] = None
            if len(self._seen) > SEEN_MAX:
                self._seen.popitem(last=False)
        for each in self._subscriptions:
            each.offer(event)

    def _send_soon(self, name: str, payload: bytes) -> None:
        task = asyncio.get_running_loop().create_task(self._send_or_say(name, payload))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _send_or_say(self, name: str, payload: bytes) -> None:
        try:
            await self._send(name, payload)
        except (UnavailableError, CommitUnknownError) as error:
            log.warning("event not published", name=name, because=error.because)

    async def _send(self, name: str, payload: bytes) -> None:
        link = self._link
        carried = bool(name) and link is not None and await link.publish(name, payload)
        if carried:
            self._carried_at_s = time.monotonic()
        if not carried or time.monotonic() < self._both_until_s:
            await self._notify(payload.decode())

    async def _notify(self, payload: str) -> None:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._pending.append((payload, future))
        if self._writing is None or self._writing.done():
            self._writing = loop.create_task(self._write(), name="millions events")
        await future

    async def _write(self) -> None:
        while self._pending:
            batch, self._pending = self._pending[:BATCH_MAX], self._pending[BATCH_MAX:]
            try:
                await self._write_once([payload for payload, _ in batch])
            except asyncio.CancelledError:
                _fail([*batch, *self._pending], _closed())
                self._pending = []
                raise
            except Exception as error:  # noqa: BLE001  # each caller gets it
                _fail(batch, error)
            else:
                for _, future in batch:
                    if not future.done():
                        future.set_result(None)

    async def _write_once(self, payloads: list[str]) -> None:
        """Notify, again while the server is away: one that was heard already is heard once."""
        patience = Patience(doing="publish an event")
        while True:
            try:
                await self._db.pool().execute(NOTIFY, CHANNEL, payloads, timeout=STATEMENT_LIMIT_S)
            except (
                asyncpg.PostgresConnectionError,
                asyncpg.OperatorInterventionError,
                asyncpg.ReadOnlySQLTransactionError,
                asyncpg.InterfaceError,
                asyncpg.InternalClientError,
                OSError,
                TimeoutError,
            ) as error:
                await patience.pause(error)
            else:
                return


def _fail(batch: list[tuple[str, asyncio.Future[None]]], error: Exception) -> None:
    for _, future in batch:
        if not future.done():
            future.set_exception(error)


def _closed() -> UnavailableError:
    return UnavailableError(
        cannot="publish an event",
        because=f"events was closed, and {CLOSE_LIMIT_S:g} s later the database had not answered",
        try_="millions status",
    )


async def _close_later(link: Link) -> None:
    """Go on hearing from a former broker until everybody has left it."""
    await asyncio.sleep(BOTH_WAYS_S)
    await link.close()
