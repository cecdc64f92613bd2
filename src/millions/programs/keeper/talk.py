"""Talk: one question and one answer a line among the members of a store, each line proven.

A line carries a proof made with the store's password over a number that the asked one chose for
this connection, so that nobody else can ask, and nothing can be said twice. Nothing that is said is
secret. Every wait is bounded; a peer that is away is None.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import secrets
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from millions.directory import Endpoint

    Answer = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]

ANSWER_WITHIN_S = 1.0
"""A member that does not answer in this time is taken to be away."""

IDLE_S = 30.0
LINE_BYTES_MAX = 4096

Said = dict[str, Any]


class Peer:
    """Another member, asked over one connection, a question at a time."""

    def __init__(self, place: Endpoint, password: str, *, own_host: str) -> None:
        self._place = place
        self._own_host = own_host
        self._key = password.encode()
        self._lock = asyncio.Lock()
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._nonce = ""
        self._count = 0

    async def ask(self, question: Said, *, within_s: float = ANSWER_WITHIN_S) -> Said | None:
        """Return the answer; None when there is none in time."""
        try:
            async with asyncio.timeout(within_s), self._lock:
                return await self._asked(question)
        except (OSError, EOFError, TimeoutError, ValueError):
            return None

    def close(self) -> None:
        """Hang up."""
        streams, self._streams = self._streams, None
        if streams is not None:
            streams[1].transport.abort()

    async def _asked(self, question: Said) -> Said:
        whole = False
        if self._streams is not None and self._streams[0].at_eof():
            self.close()  # it was idle for long
        try:
            if self._streams is None:
                self._streams = await asyncio.open_connection(
                    self._place.host,
                    self._place.port,
                    limit=LINE_BYTES_MAX,
                    local_addr=(self._own_host, 0),
                )
                self._nonce, self._count = (await _line(self._streams[0])).strip(), 0
            reader, writer = self._streams
            self._count += 1
            said = f"{self._nonce} {self._count}"
            writer.write(_proven(self._key, f"ask {said}", question))
            answer = _checked(self._key, f"answer {said}", await _line(reader))
            whole = True
            return answer
        finally:
            if not whole:  # what comes later over it would answer something else
                self.close()


class Listener:
    """Answers the other members."""

    def __init__(self, place: Endpoint, password: str, answer: Answer) -> None:
        self._place = place
        self._key = password.encode()
        self._answer = answer
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Begin to answer."""
        self._server = await asyncio.start_server(
            self._serve, self._place.host, self._place.port, limit=LINE_BYTES_MAX
        )

    def close(self) -> None:
        """Answer nobody who comes from now on."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonce, count = secrets.token_hex(16), 0
        try:
            writer.write(f"{nonce}\n".encode())
            while True:
                async with asyncio.timeout(IDLE_S):
                    line = await _line(reader)
                count += 1
                question = _checked(self._key, f"ask {nonce} {count}", line)
                answer = await self._answer(question)
                writer.write(_proven(self._key, f"answer {nonce} {count}", answer))
        except (OSError, EOFError, TimeoutError, ValueError):
            pass  # it hung up, or is none of ours
        finally:
            writer.transport.abort()


async def _line(reader: asyncio.StreamReader) -> str:
    line = await reader.readline()
    if not line.endswith(b"\n"):
        raise EOFError
    return line.decode()


def _proof(key: bytes, about: str, body: str) -> str:
    return hmac.new(key, f"{about} {body}".encode(), hashlib.sha256).hexdigest()


def _proven(key: bytes, about: str, said: Said) -> bytes:
    body = json.dumps(said)
    return f"{_proof(key, about, body)} {body}\n".encode()


def _checked(key: bytes, about: str, line: str) -> Said:
    """What a line says. Raise ValueError when it is not proven."""
    proof, _, body = line.rstrip("\n").partition(" ")
    if not hmac.compare_digest(proof.encode(), _proof(key, about, body).encode()):
        raise ValueError("not proven")
    found = json.loads(body)
    if not isinstance(found, dict):
        raise ValueError("not a message")  # noqa: TRY004  # what others send is a value
    return cast("Said", found)
