"""The web server: uvicorn that drains so that no request fails while its successor takes over.

It never closes a connection on which a request may be under way. uvicorn itself closes every idle
kept-alive connection at once on SIGTERM, which breaks the request that a client is sending at that
moment; and it closes a connection after an answer that had promised to keep it.

Source: uvicorn `server.py` and `protocols/http/httptools_impl.py`, whose `shutdown` this replaces.
"""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import Server, ServerState

from millions.sdk.lingering import Lingering

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from uvicorn import Config

IDLE_S = 5.0
"""While draining, a connection is closed when it carried nothing for this long: a client that has
a request ready sends it well before."""

IN_FLIGHT_S = 30.0
"""Requests under way get this long after the first SIGTERM."""

LIFESPAN_S = 30.0
"""The application's own shutdown gets this long."""

HEAD_BYTES_MAX = 64 * 1024
"""A head that is longer is refused; browsers' cookies and balancers' headers fit several times."""

TOO_LONG = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: text/plain\r\n"
    b"content-length: 31\r\nconnection: close\r\n\r\nthe head is longer than 64 KiB\n"
)

HEADERS_S = 20.0
"""A request's head must be complete this long after its first byte."""

DISCARDED_S = 30.0
"""What a client still sends of a request that was answered already (a body that was too large) is
read and dropped for this long, so that it gets to see the answer."""

CANCELLED_S = 2.0
"""What was cancelled gets this long to notice."""

LOOK_S = 0.02
"""How often the drain looks whether all is done."""

STARTUP_FAILED = 3
"""Exit status when the application's startup failed, as when it does not import."""

CUT_SHORT = 143
"""Exit status when a second SIGTERM cut the drain short (128 + 15)."""


class DrainState(ServerState):
    """What all connections of one server know together."""

    def __init__(self) -> None:
        super().__init__()
        self.draining = False


class DrainingProtocol(HttpToolsProtocol):
    """One connection: knows since when it is idle, says `Connection: close` when draining."""

    server_state: DrainState
    cycle: Any  # uvicorn calls it never None; it is, before the first request
    active_at_s = 0.0
    _began_s = 0.0
    _head_bytes = 0
    _in_body = False
    _ended = False

    def connection_made(self, transport: Any) -> None:
        """Start the clock: a client that connects must say something."""
        super().connection_made(cast("Any", Lingering(transport, self.loop, self._is_sending)))
        self.active_at_s = self.loop.time()
        self._expect_within(self.timeout_keep_alive)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting for what the client was sending."""
        cast("Lingering", self.transport).gone()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feed the parser; bound what is no request yet, and what is left of an answered one."""
        if cast("Lingering", self.transport).lingers:
            return
        self.active_at_s = now_s = self.loop.time()
        began_s = self._began_s = self._began_s or now_s
        self._ended = False
        super().data_received(data)
        if not self.idle() or self.transport.is_closing():
            return
        self._unset_keepalive_if_required()
        if self._in_body:
            self._expect_within(max(0.0, began_s + DISCARDED_S - now_s))
            return
        self._expect_within(max(0.0, began_s + HEADERS_S - now_s))
        if self._ended:  # by far the most of it was the rest of a body
            return
        self._head_bytes += len(data)
        if self._head_bytes > HEAD_BYTES_MAX:
            self.transport.write(TOO_LONG)
            self.transport.close()

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection over as it is: a WebSocket has an end of its own."""
        self.transport = cast("Lingering", self.transport).transport
        super().handle_websocket_upgrade()

    def on_headers_complete(self) -> None:
        """Start answering; the last answer of this connection when draining."""
        self._in_body = True
        self._head_bytes = 0
        super().on_headers_complete()
        if self.server_state.draining:
            self.begin_drain()

    def on_message_complete(self) -> None:
        """Note that the next byte begins another request."""
        self._in_body = False
        self._ended = True
        self._began_s = 0.0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Note that the connection became idle now."""
        self.active_at_s = self._began_s = self.loop.time()
        if not self._in_body:
            self._began_s = 0.0
        super().on_response_complete()

    def begin_drain(self) -> None:
        """Make each answer whose head is not yet sent the last one. Closes nothing."""
        for cycle in (self.cycle, *(each for each, _ in self.pipeline)):
            if cycle is not None and not cycle.response_started:
                cycle.keep_alive = False

    def idle(self) -> bool:
        """Answer whether no request is under way here (a half-received head counts as none)."""
        return self.cycle is None or self.cycle.response_complete

    def _is_sending(self) -> bool:
        """Whether a message has begun and not ended: closing now would destroy its answer."""
        return self._began_s != 0.0

    def _expect_within(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(
            seconds, self.timeout_keep_alive_handler
        )


class DrainingServer(Server):
    """uvicorn's server with our way to stop. `status` is the exit status of the process."""

    server_state: DrainState

    def __init__(
        self,
        config: Config,
        on_drain: Callable[[], None] = lambda: None,
        *,
        in_flight_s: float = IN_FLIGHT_S,
    ) -> None:
        super().__init__(config)
        self._in_flight_s = in_flight_s
        self.server_state = DrainState()
        self.status = 0
        self._on_drain = on_drain
        self._starting: asyncio.Task[None] | None = None

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until SIGTERM or SIGINT, then drain; a second signal cuts the drain short."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        self._starting = asyncio.ensure_future(self._serve(sockets))
        try:
            await self._starting
        except asyncio.CancelledError:
            if not self.should_exit:
                raise
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Run the application's startup, then accept. `status` says when that failed."""
        try:
            await super().startup(sockets)
        except SystemExit:  # uvicorn's way to say so; inside a task it would end the loop
            self.status = STARTUP_FAILED
            self.should_exit = True

    def stop(self) -> None:
        """Begin to drain; called again, stop at once."""
        if self.should_exit:
            self.force_exit = True
        self.should_exit = True
        if not self.started and self._starting is not None:
            self._starting.cancel()

    async def shutdown(
        self,
        sockets: list[socket.socket] | None = None,  # noqa: ARG002  # the loop owns them
    ) -> None:
        """Stop accepting, let what is under way finish, run the application's shutdown."""
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        self.server_state.draining = True
        self._on_drain()
        for server in self.servers:
            server.close()
        for connection in self._connections():
            if isinstance(connection, DrainingProtocol):
                connection.begin_drain()
            else:
                connection.shutdown()  # a WebSocket: told that the service restarts
        await asyncio.sleep(LOOK_S)  # what was accepted becomes one some turns later
        while self._busy() and not self.force_exit and loop.time() < began_s + self._in_flight_s:
            self._close_idle(began_s, loop.time())
            await asyncio.sleep(LOOK_S)
        await self._cut()
        try:
            await asyncio.wait_for(
                self.lifespan.shutdown(), CANCELLED_S if self.force_exit else LIFESPAN_S
            )
        except TimeoutError:
            self.status = CUT_SHORT

    def _busy(self) -> bool:
        return bool(self.server_state.connections or self.server_state.tasks)

    def _connections(self) -> list[Any]:
        return list(cast("set[Any]", self.server_state.connections))

    def _close_idle(self, began_s: float, now_s: float) -> None:
        for connection in self._connections():
            if not isinstance(connection, DrainingProtocol) or not connection.idle():
                continue
            if now_s - max(connection.active_at_s, began_s) >= IDLE_S:
                connection.transport.close()

    async def _cut(self) -> None:
        """End what is still under way: the time is over, or a second signal came."""
        if self._busy():
            self.status = CUT_SHORT
        for connection in self._connections():
            transport = connection.transport
            if transport is not None and not transport.is_closing():
                transport.abort()
        left = list(self.server_state.tasks)
        for task in left:
            task.cancel("the server stopped before this request was answered")
        if left:
            await asyncio.wait(left, timeout=CANCELLED_S)
