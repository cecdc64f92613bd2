"""Idempotency keys (G3): a request repeated with the same `Idempotency-Key` takes effect once.

The key's row is written by the very transaction that has the effect, so that both happen or
neither; a second transaction for the same key cannot commit. The answer is kept before it is sent.
Beside that, which is what the promise rests on, one request of a key runs at a time: others wait
for it. It never looks at what the application does; see docs/decisions/0005-idempotency-keys.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
from typing import TYPE_CHECKING, Any

import asyncpg
from sqlalchemy import event

from millions.errors import MillionsError, UnavailableError
from millions.sdk import answers, position, requests
from millions.sdk.idempotency_rows import SCHEMA, Claim, Kept, Rows, digest_of
from millions.sdk.idempotency_traffic import Capture, Counted
from millions.sdk.log import log
from millions.sdk.session import BlockSession

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sqlalchemy.orm import SessionTransaction

    from millions.directory import Directory
    from millions.sdk.database import Database
    from millions.sdk.sessions import Sessions

__all__ = ["SCHEMA", "Idempotency"]

HEADER = b"idempotency-key"
UNSAFE = frozenset({"POST", "PUT", "PATCH", "DELETE"})

KEY_CHARACTERS_MAX = 255
KEY = re.compile(rb"[!-~]{1,%d}" % KEY_CHARACTERS_MAX)

WAIT_S = 20.0
"""How long a request waits for another one of its key: shorter than clients usually wait."""

ASK_S = 0.05
"""How often another process is asked whether it is done with a key."""

SWEEP_S = 300.0
TRANSIENT = frozenset({401, 403, 408, 409, 421, 425, 429})
"""Refusals that may end by themselves; without an effect they are not kept."""

SERVER_ERROR = 500
REPLAYED = b"idempotency-replayed"

BAD_KEY = f"""cannot accept this Idempotency-Key
  because: it must have 1 to {KEY_CHARACTERS_MAX} visible ASCII characters
  try: a random UUID for each thing that shall happen once
"""
BUSY = f"""cannot answer this request yet
  because: another one with the same Idempotency-Key has been running for {WAIT_S:.0f} s
  try: the same request again later; it will get the answer of the first one
"""
OTHER_REQUEST = """cannot accept this Idempotency-Key
  because: it was used for another request (another method, path or body)
  try: a new key for a new request, or the very same request to get its answer again
"""
EFFECT_ONLY = """{"status":"done","answer":"The effect of this Idempotency-Key took place once; \
the server stopped before its answer was kept, or the answer was too large to keep."}
"""


class Idempotency:
    """Runs or repeats the answers of requests that carry a key."""

    def __init__(self, db: Database, sessions: Sessions) -> None:
        self._rows = Rows(db)
        self._sessions = sessions
        self._running: dict[bytes, asyncio.Event] = {}
        self._sweeping: asyncio.Task[None] | None = None

    async def open(self, directory: Directory) -> None:  # noqa: ARG002  # as every noun
        """Begin to sweep expired rows."""
        self._rows.open()
        self._running.clear()
        self._sweeping = asyncio.create_task(self._sweep(), name="millions idempotency")

    async def close(self) -> None:
        """Stop sweeping; let go of the connection."""
        if self._sweeping is not None:
            self._sweeping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sweeping
            self._sweeping = None
        await self._rows.close()

    async def answer(
        self, app: Callable[..., Awaitable[None]], scope: Any, receive: Any, send: Any
    ) -> None:
        """Answer a request that carries a key: by `app`, or as it was answered before."""
        text = requests.header(scope, HEADER) or b""
        if not KEY.fullmatch(text):
            await answers.text(send, 400, BAD_KEY)
            return
        key = digest_of(self._who(scope), text)
        counted = Counted(receive)
        async with contextlib.AsyncExitStack() as held:
            try:
                if not await self._hold(key, held):
                    await answers.text(send, 409, BUSY, [(b"retry-after", b"1")])
                    return
                kept = await self._rows.find(key)
            except UnavailableError as error:  # nothing has begun; the application raised nothing
                log.warning("a key could not be looked up", because=error.because)
                await answers.text(send, 503, f"{error}\n", [(b"retry-after", b"1")])
                return
            if kept is None:
                kept = await self._run(app, (scope, counted, send), key, held)
            if kept is not None:
                await _replay(kept, scope, counted, send)

    def _who(self, scope: Any) -> bytes:
        """Answer whose key it is, as far as the request proves it: others' keys are other keys."""
        session_id = self._sessions.cookie.session_id(scope["headers"]) or ""
        authorization = requests.header(scope, b"authorization") or b""
        return digest_of(session_id.encode(), authorization)

    async def _hold(self, key: bytes, held: contextlib.AsyncExitStack) -> bool:
        """Become the only request of `key`, here and in other processes. False after WAIT_S."""
        deadline_s = asyncio.get_running_loop().time() + WAIT_S
        try:
            async with asyncio.timeout_at(deadline_s):
                while (other := self._running.get(key)) is not None:
                    await other.wait()
                done = self._running[key] = asyncio.Event()
                held.callback(self._let_go, key, done)
                while not await self._rows.lock(key):  # noqa: ASYNC110  # of another process
                    await asyncio.sleep(ASK_S * random.uniform(0.5, 1.5))  # noqa: S311  # spreads
        except TimeoutError:
            return False
        held.push_async_callback(self._rows.unlock, key)
        return True

    def _let_go(self, key: bytes, done: asyncio.Event) -> None:
        del self._running[key]
        done.set()

    async def _run(
        self, app: Any, exchange: tuple[Any, Counted, Any], key: bytes, held: Any
    ) -> Kept | None:
        """Let the application answer, and keep what it says before it is sent.

        Answer what another process has kept meanwhile, if it was faster, else None.
        """
        scope, counted, send = exchange
        claim = Claim(key, scope, counted)
        request = requests.current()

        async def keep(status: int, headers: answers.Headers, body: bytes | None) -> None:
            """Called with the whole answer before any of it is sent."""
            if request is not None:
                request.claim = None
            if claim.effects or (status < SERVER_ERROR and status not in TRANSIENT):
                await counted.drain()
                await self._rows.keep(claim, status, headers, body)
            await held.aclose()

        capture = Capture(send, keep, lambda: claim.taken)
        if request is not None:
            request.claim = claim
        try:
            await app(scope, counted.receive, capture.send)
        except Exception:
            if not claim.taken:
                await capture.failed()
                raise
        finally:
            if request is not None:
                request.claim = None
        if not claim.taken:
            return None
        kept = await self._rows.find(key)
        if kept is None:
            await answers.text(send, 409, BUSY, [(b"retry-after", b"1")])
        return kept

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S * random.uniform(0.5, 1.5))  # noqa: S311  # spreads
            try:
                await self._rows.sweep()
            except (OSError, asyncpg.PostgresError, MillionsError) as error:
                log.warning("expired idempotency keys not swept yet", because=str(error))


async def _replay(kept: Kept, scope: Any, counted: Counted, send: Any) -> None:
    """Answer as the first request was answered, if this is the same request."""
    await counted.drain()
    if not kept.is_of(scope, counted):
        await answers.text(send, 422, OTHER_REQUEST)
        return
    seen = position.current.get()
    if seen is not None and kept.position:
        seen.merge(position.parse(kept.position))
        seen.wrote = True
    if kept.status is None or kept.body is None:
        how = b"effect-only"
        status = 200 if kept.status is None else kept.status
        headers = [(b"content-type", b"application/json")]
        body = EFFECT_ONLY.encode()
    else:
        how, status, headers, body = b"true", kept.status, kept.headers, kept.body
    headers = [each for each in headers if each[0].lower() != b"content-length"]
    headers += [(b"content-length", str(len(body)).encode()), (REPLAYED, how)]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _began(session: BlockSession, transaction: SessionTransaction) -> None:
    """Give each write transaction of a request with a key the hook that writes the key's row."""
    request = requests.current()
    if request is None or request.claim is None or transaction.parent is not None:
        return
    if not session.transaction.read_only:
        request.claim.joins(session.outer)


event.listen(BlockSession, "after_transaction_create", _began)
