"""One connection to a Valkey server: commands of one turn of the loop leave in one write.

Answers come in the order of the commands. A connection whose oldest answer is late is given up as
a whole: a server that is slow or frozen must cost its callers one short wait, not one each. It
never connects by itself.
Source: RESP3; hiredis reads and writes it.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import hiredis

if TYPE_CHECKING:
    from collections.abc import Callable

Part = str | bytes | int | float

DEADLINE_S = 0.125
"""An answer that takes longer than once to twice this ends the connection. A server answers in
less than 1 ms; two busy cores have kept one waiting for 60 ms."""

READ_FIRST_S = 0.005

PENDING_MAX = 8192
"""Commands under way; more are refused at once, as they would be late."""

ANSWER_BYTES_MAX = 64 << 20
"""An answer that is still not whole after this many bytes ends the connection."""

_MORE = object()
_pack: Any = cast("Any", hiredis).pack_command


class AwayError(Exception):
    """The server did not answer, or refused the command. To a cache that is a miss."""


class RefusedError(AwayError):
    """The server answered with an error: it did not do what it was told."""


class Script:
    """A Lua script that servers keep under its digest; `text` is sent once for a connection."""

    __slots__ = ("digest", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


class Wire(asyncio.Protocol):
    """Sends commands and gives each its answer. `lost` is called once, when it has ended."""

    __slots__ = (
        "_answered",
        "_deadline_s",
        "_loop",
        "_lost",
        "_outgoing",
        "_pending",
        "_reader",
        "_sent",
        "_transport",
        "_unread_bytes",
        "_vital",
        "_watch",
    )

    def __init__(self, lost: Callable[[Wire], None], *, deadline_s: float = DEADLINE_S) -> None:
        self._loop = asyncio.get_running_loop()
        self._lost = lost
        self._deadline_s = deadline_s
        self._reader = hiredis.Reader(notEnoughData=_MORE)
        self._transport: asyncio.Transport | None = None
        self._outgoing: list[bytes] = []
        self._pending: deque[asyncio.Future[Any]] = deque()
        self._sent = self._answered = self._unread_bytes = 0
        self._vital: set[asyncio.Future[Any]] = set()
        self._watch: asyncio.TimerHandle | None = None

    def send(self, *parts: Part) -> asyncio.Future[Any]:
        """Send one command with this turn's others; the future fails with AwayError.

        Nobody has to wait for it. Raise AwayError when the connection has ended or is full.
        """
        if self._transport is None or len(self._pending) >= PENDING_MAX:
            raise AwayError("no connection" if self._transport is None else "too many commands")
        packed: bytes = _pack(parts)
        if not self._outgoing:
            self._loop.call_soon(self._write)
        self._outgoing.append(packed)
        answer = self._loop.create_future()
        self._pending.append(answer)
        self._sent += 1
        return answer

    def run(self, script: Script, keys: list[bytes], *arguments: Part) -> asyncio.Future[Any]:
        """Run a script that this connection was told of."""
        return self.send("EVALSHA", script.digest, len(keys), *keys, *arguments)

    def vital(self, answer: asyncio.Future[Any]) -> asyncio.Future[Any]:
        """Give the connection up, with all answers that come later, if this one is a refusal."""
        self._vital.add(answer)
        return answer

    def abort(self) -> None:
        """End it now: whoever waits gets AwayError."""
        if self._transport is not None:
            self._transport.abort()
            self._end("the connection was given up")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Let everybody know that no answer will come."""
        self._end(str(exc or "the server closed the connection"))

    def data_received(self, data: bytes) -> None:
        """Give answers to those who wait, in their order."""
        reader, pending = self._reader, self._pending
        self._unread_bytes += len(data)
        try:
            reader.feed(data)
            while (answer := reader.gets()) is not _MORE:
                self._unread_bytes = 0
                if answer.__class__ is hiredis.PushNotification:
                    continue  # nothing that was asked for
                self._answered += 1
                waiting = pending.popleft()
                _give(waiting, answer)
                if self._vital and self._refused(waiting, answer):
                    self.abort()
                    return
        except (hiredis.ProtocolError, IndexError):
            self.abort()  # not a Valkey server, or one too many answers: nothing fits any more
            return
        if self._unread_bytes > ANSWER_BYTES_MAX:
            self.abort()

    def _refused(self, waiting: asyncio.Future[Any], answer: Any) -> bool:
        """Whether this was a refusal that nothing later may be answered after."""
        if waiting not in self._vital:
            return False
        self._vital.discard(waiting)
        return isinstance(answer, hiredis.ReplyError)

    def _write(self) -> None:
        if self._transport is None:
            return
        self._transport.write(b"".join(self._outgoing))
        self._outgoing.clear()
        if self._watch is None:
            self._watch = self._loop.call_later(self._deadline_s, self._check, self._sent)

    def _check(self, sent: int, *, again: bool = False) -> None:
        """Give up when not all that was `sent` a deadline ago is answered.

        First let the loop read what may have arrived while this process was busy itself.
        """
        self._watch = None
        if self._answered < sent and again:
            self.abort()
        elif self._answered < sent:
            check = partial(self._check, sent, again=True)
            self._watch = self._loop.call_later(READ_FIRST_S, check)
        elif self._pending:
            self._watch = self._loop.call_later(self._deadline_s, self._check, self._sent)

    def _end(self, because: str) -> None:
        if self._transport is None:
            return
        self._transport = None
        self._outgoing.clear()
        self._vital.clear()
        if self._watch is not None:
            self._watch.cancel()
        while self._pending:
            _fail(self._pending.popleft(), AwayError(because))
        self._lost(self)


def _give(waiting: asyncio.Future[Any], answer: Any) -> None:
    if isinstance(answer, hiredis.ReplyError):
        _fail(waiting, RefusedError(str(answer)))
    elif not waiting.done():
        waiting.set_result(answer)


def _fail(waiting: asyncio.Future[Any], error: AwayError) -> None:
    if not waiting.done():
        waiting.set_exception(error)
        waiting.exception()  # whoever does not wait for the answer is not to be warned of it
