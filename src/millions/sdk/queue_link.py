"""The way over a message broker (NATS): a connection that is kept for as long as it is open.

It carries what it is given and says when it may have lost something; it never decides what to do
instead. A broker that is away costs nobody a wait.
Source: nats-py, whose reconnecting is used; what it would buffer meanwhile is not.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from millions.sdk.log import log

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable

    from millions.directory import QueuePlace

CONNECT_LIMIT_S = 2
RECONNECT_S = 0.25
PING_S = 1
"""A broker that is frozen is noticed after two of them."""

PINGS_MAX = 2
SETTLED_LIMIT_S = 2.0
CLOSE_LIMIT_S = 2.0


class Ears(Protocol):
    """Who wants to know."""

    def carried(self, payload: bytes) -> None:
        """Called for each message."""

    def link_up(self) -> None:
        """Called when messages arrive from now on."""

    def link_down(self) -> None:
        """Called when messages may be lost from now on, and some before may have been."""


class Link:
    """A connection to the broker at `place`, as process `name`, for subjects below `prefix`.

    Of the members of a `group` one hears each message; without a group everybody does.
    """

    def __init__(
        self, place: QueuePlace, ears: Ears, *, name: str, prefix: str, group: str = ""
    ) -> None:
        self._prefix = prefix
        self._group = group
        self._place = place
        self._ears = ears
        self._name = name
        self._client: Any = None
        self._opening: asyncio.Task[None] | None = None
        self._closing = False
        self._subscribing = asyncio.Lock()
        self._patterns: dict[str, Any] = {}

    @property
    def connected(self) -> bool:
        """Whether a message would leave at once."""
        return self._client is not None and bool(self._client.is_connected)

    def open(self) -> None:
        """Begin to connect, in the background, for as long as it takes."""
        self._opening = asyncio.create_task(self._open(), name="millions queue link")

    async def publish(self, name: str, payload: bytes) -> bool:
        """Hand a message over. False: there is no connection, or it takes no more.

        A broker that takes nothing keeps a publisher waiting only once the client holds 2 MiB, for
        `SETTLED_LIMIT_S` each, until the broker counts as away.
        """
        if not self.connected:
            return False
        try:
            await self._client.publish(self._prefix + name, payload)
        except Exception:  # noqa: BLE001  # of a library: whatever it is, it was not handed over
            return False
        return True

    async def want(self, patterns: Iterable[str]) -> None:
        """Hear messages of these patterns, and of no others; return when the broker knows it."""
        wanted = set(patterns)
        async with self._subscribing:
            gone = [self._patterns.pop(each) for each in self._patterns.keys() - wanted]
            with contextlib.suppress(TimeoutError):  # a broker that takes nothing tells nothing
                async with _bounded() as ends_at_s:
                    for subscription in gone:
                        _check(ends_at_s)
                        with contextlib.suppress(Exception):
                            if subscription is not None:
                                await subscription.unsubscribe()
        for new in wanted - self._patterns.keys():
            self._patterns[new] = None
        if self.connected:
            with contextlib.suppress(Exception):  # it is done again with the next connection
                await self._subscribe()

    async def close(self) -> None:
        """Send what was handed over and disconnect, within a bound."""
        self._closing = True
        opening, self._opening = self._opening, None
        if opening is not None:
            opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)
        client, self._client = self._client, None
        if client is not None:
            # In a task of its own: where the library cancels a task of its own that waits for the
            # same socket to close, whoever closes it meets that cancellation as if it were theirs.
            ending = asyncio.create_task(_end(client), name="millions queue ending")
            await asyncio.wait({ending}, timeout=CLOSE_LIMIT_S)
            ending.cancel()

    async def _open(self) -> None:
        try:
            await self._connect()
        except Exception as error:  # noqa: BLE001  # the database carries messages all the same
            log.error("cannot use the queue; the database carries messages", because=str(error))

    async def _connect(self) -> None:
        from nats.aio.client import Client  # noqa: PLC0415  # only where the stack has a broker

        client = self._client = Client()
        password = await asyncio.to_thread(_read, self._place.password_file)
        await client.connect(
            servers=[f"nats://{each.host}:{each.port}" for each in self._place.servers],
            user=self._place.user,
            password=password,
            name=self._name,
            allow_reconnect=True,
            max_reconnect_attempts=-1,
            reconnect_time_wait=RECONNECT_S,  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # it sleeps so long
            connect_timeout=CONNECT_LIMIT_S,
            flush_timeout=SETTLED_LIMIT_S,
            ping_interval=PING_S,
            max_outstanding_pings=PINGS_MAX,
            error_cb=_quietly,
            disconnected_cb=self._lost,
            reconnected_cb=self._back,
        )
        await self._subscribe()
        log.info("connected to the queue", subjects=self._prefix)
        self._ears.link_up()

    async def _subscribe(self) -> None:
        async with self._subscribing:
            async with _bounded() as ends_at_s:
                for pattern, known in tuple(self._patterns.items()):
                    _check(ends_at_s)
                    if known is None:
                        self._patterns[pattern] = await self._client.subscribe(
                            self._prefix + pattern, queue=self._group, cb=self._heard
                        )
            # Its PING overtakes what it has yet to write: the first answer says that all is
            # written, the second that the broker has read it.
            for _ in range(2):
                async with _bounded():
                    await self._client.flush(SETTLED_LIMIT_S)

    async def _heard(self, message: Any) -> None:
        self._ears.carried(message.data)

    async def _lost(self) -> None:
        if self._closing:
            return
        log.warning("lost the queue; the database carries messages", subjects=self._prefix)
        self._ears.link_down()

    async def _back(self) -> None:
        with contextlib.suppress(Exception):  # lost again meanwhile: then this comes again too
            await self._subscribe()
        self._ears.link_up()


async def _end(client: Any) -> None:
    """Send what is left, and close the connection, whatever the library meets in that."""
    with contextlib.suppress(Exception):
        if client.is_connected:
            await client.flush()
        await client.close()


@contextlib.asynccontextmanager
async def _bounded() -> AsyncGenerator[float, None]:
    """Bound what is asked of the client; when it ends, by the clock of the loop."""
    ends_at_s = asyncio.get_running_loop().time() + SETTLED_LIMIT_S
    async with asyncio.timeout_at(ends_at_s):
        yield ends_at_s


def _check(ends_at_s: float) -> None:
    """Raise TimeoutError after the end: the client swallows the cancellation that says so."""
    if asyncio.get_running_loop().time() >= ends_at_s:
        raise TimeoutError


async def _quietly(_error: Exception) -> None:
    """What goes wrong shows in the state of the connection; each attempt would be a line."""


def _read(path: str) -> str:
    return Path(path).read_text(encoding="utf-8").strip()
