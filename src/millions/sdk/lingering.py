"""A connection whose answers go out whole, and whose close does not destroy the last of them.

The head of an answer waits for the first part of its body, one turn of the loop at most: so a
process that is killed has answered a small request or has not begun to, and a balancer may repeat
it; and that is one system call less.

A socket that is closed while the peer's data lies unread in it resets the connection, and the peer
loses what it has not read yet: the refusal of a body that was too large. So the sending side is
closed first, and what still comes is read and dropped for a while.

Source: nginx, `lingering_close`; RFC 9112, 9.6.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

LINGER_S = 5.0
"""A client that is still sending this long after its answer is cut off."""


HEAD = b"HTTP/1.1 "
COPIED_BYTES_MAX = 16 * 1024
"""A larger part of a body is not copied to stand behind its head."""


class Lingering:
    """Stands for a transport; `unread` says whether the client may still be sending."""

    __slots__ = ("_head", "_loop", "_timer", "_unread", "transport")

    def __init__(
        self, transport: Any, loop: asyncio.AbstractEventLoop, unread: Callable[[], bool]
    ) -> None:
        self.transport = transport
        self._loop = loop
        self._unread = unread
        self._timer: asyncio.TimerHandle | None = None
        self._head = b""

    def __getattr__(self, name: str) -> Any:
        """Whatever else a transport can."""
        return getattr(self.transport, name)

    @property
    def lingers(self) -> bool:
        """Whether nothing is answered any more, and what comes is to be dropped."""
        return self._timer is not None

    def is_closing(self) -> bool:
        """Whether nothing more can be written."""
        return self._timer is not None or self.transport.is_closing()

    def write(self, data: bytes) -> None:
        """Send `data`; the head of an answer together with what follows it."""
        head = self._head
        if head:
            self._head = b""
            if len(data) <= COPIED_BYTES_MAX:
                data = head + data
            else:
                self.transport.write(head)
        elif data.startswith(HEAD):
            self._head = data
            self._loop.call_soon(self._flush)
            return
        self.transport.write(data)

    def _flush(self) -> None:
        """Send a head that nothing followed."""
        head, self._head = self._head, b""
        if head and not self.transport.is_closing():
            self.transport.write(head)

    def close(self) -> None:
        """Send what was written; then close, or first read what the client is still sending."""
        if self.is_closing():
            return
        self._flush()
        if not self._unread() or not self.transport.can_write_eof():
            self.transport.close()
            return
        self._timer = self._loop.call_later(LINGER_S, self.transport.abort)
        self.transport.write_eof()
        self.transport.resume_reading()

    def gone(self) -> None:
        """Hear that the connection is closed."""
        self._head = b""
        if self._timer is not None:
            self._timer.cancel()
