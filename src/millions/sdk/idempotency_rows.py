"""The rows of idempotency keys, and the locks that let one request of a key run at a time.

Locks belong to one connection of this process: when the process dies, the server releases them at
once. Answers are written without waiting for the disk: what must be durable, the effect and its
key, was committed by the application's own transaction.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast
from uuid import UUID, uuid4

import asyncpg
import orjson
from sqlalchemy import text

from millions.errors import ConflictError, UnavailableError
from millions.sdk import position
from millions.sdk.retry import DRIVER_ERRORS, NOT_PRIMARY, Fate, Patience, fate, sqlstate
from millions.sdk.session import NotCommitted

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from millions.sdk.answers import Headers
    from millions.sdk.database import Database
    from millions.sdk.idempotency_traffic import Counted
    from millions.sdk.session import Session

SCHEMA = (
    """
    CREATE TABLE IF NOT EXISTS millions.idempotency (
        key bytea PRIMARY KEY,
        owner uuid NOT NULL,
        request bytea NOT NULL,
        content bytea,
        status int,
        headers bytea,
        body bytea,
        position text NOT NULL DEFAULT '',
        expires_at timestamptz NOT NULL DEFAULT now() + interval '24 hours')
    """,
    "CREATE INDEX IF NOT EXISTS idempotency_expires_at ON millions.idempotency (expires_at)",
)

KEPT_BYTES_MAX = 256 * 1024
"""Larger answers are not kept: a repeated request learns that it took effect, and no more."""

STATEMENT_S = 10.0
SWEPT_AT_ONCE = 1000
SWEEP_ROUNDS = 50

TAKE = """
    INSERT INTO millions.idempotency (key, owner, request, content)
    VALUES (:key, :owner, :request, :content)
    ON CONFLICT (key) DO UPDATE SET owner = excluded.owner
    WHERE idempotency.owner = excluded.owner RETURNING true
"""
PROVE = """
    UPDATE millions.idempotency SET owner = owner WHERE key = :key AND owner = :owner
    RETURNING true
"""
BAR = """
    INSERT INTO millions.idempotency (key, owner, request) VALUES (:key, :owner, :request)
    ON CONFLICT DO NOTHING RETURNING true
"""
"""Waits for a transaction under way that has written the key; it is rolled back."""

KEEP = """
    INSERT INTO millions.idempotency (key, owner, request, content, status, headers, body, position)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
    ON CONFLICT (key) DO UPDATE SET content = excluded.content, status = excluded.status,
        headers = excluded.headers, body = excluded.body, position = excluded.position
    WHERE idempotency.owner = excluded.owner
"""
FIND = """
    SELECT request, content, status, headers, body, position, expires_at <= now() AS expired
    FROM millions.idempotency WHERE key = $1
"""
FORGET = "DELETE FROM millions.idempotency WHERE key = $1 AND expires_at <= now()"
SWEEP = f"""
    WITH gone AS (
        SELECT key FROM millions.idempotency WHERE expires_at <= now()
        LIMIT {SWEPT_AT_ONCE} FOR UPDATE SKIP LOCKED)
    DELETE FROM millions.idempotency i USING gone WHERE i.key = gone.key
"""  # noqa: S608  # a constant
LOST = (*DRIVER_ERRORS, TimeoutError)

T = TypeVar("T")


def digest_of(*parts: bytes) -> bytes:
    """Answer one digest of several parts, none of which can pass for another."""
    return hashlib.sha256(b"".join(len(each).to_bytes(4, "big") + each for each in parts)).digest()


def request_digest(scope: Any) -> bytes:
    """Answer a digest of method, path and query."""
    return digest_of(scope["method"].encode(), scope["path"].encode(), scope["query_string"])


class Claim:
    """One request that runs for a key.

    `effects` counts its committed transactions, `wrote` those that wrote the key's row.
    """

    def __init__(self, key: bytes, scope: Any, counted: Counted) -> None:
        self.key = key
        self.owner: UUID = uuid4()
        self.request = request_digest(scope)
        self.counted = counted
        self.effects = 0
        self.wrote = 0
        self.taken = False

    def joins(self, session: Session) -> None:
        """Have `session` write this key's row in its transaction."""
        session.before_commit(self._write)

    async def prove(self, session: Session) -> None:
        """Prove in another transaction that the one which wrote the row was committed.

        Raise NotCommitted when it was not and never will be: the row that would be its own waits
        for it to end. What is found is written once more, so that it is as durable as any commit.
        """
        session.before.clear()  # it belongs to no deed of the request
        if self.wrote != 1:
            raise ConflictError(
                cannot="say which transaction of the request was committed",
                because=f"{self.wrote} of them wrote its Idempotency-Key",
                try_="one transaction a request",
            )
        values = {"key": self.key, "owner": self.owner}
        if (await session.execute(text(PROVE), values)).first() is not None:
            return
        other = values | {"owner": uuid4(), "request": self.request}
        if (await session.execute(text(BAR), other)).first() is not None:
            raise NotCommitted
        if (await session.execute(text(PROVE), values)).first() is None:  # it is another request's
            raise NotCommitted

    async def _write(self, session: Session) -> None:
        values = {
            "key": self.key,
            "owner": self.owner,
            "request": self.request,
            "content": self.counted.digest,
        }
        self.wrote += 1
        session.proof = self.prove
        found = await session.execute(text(TAKE), values)
        if found.first() is None:
            self.taken = True
            raise ConflictError(
                cannot="commit the effect of this request",
                because="another process has done it for the same Idempotency-Key",
                try_="nothing: the client gets the answer of the other one",
            )
        session.after_commit(self._committed)

    def _committed(self) -> None:
        self.effects += 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What is known of a key. No `status`: only its effect; no `body`: it was too large."""

    request: bytes
    content: bytes | None
    status: int | None
    headers: Headers
    body: bytes | None
    position: str

    def is_of(self, scope: Any, counted: Counted) -> bool:
        """Whether a request is the one that this was kept for."""
        same_content = self.content is None or self.content == counted.digest
        return self.request == request_digest(scope) and same_content


class Rows:
    """The table and the locks, on one connection that is opened when first needed."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._turn = asyncio.Lock()
        self._connection: asyncpg.Connection[Any] | None = None
        self._locks: dict[bytes, asyncpg.Connection[Any]] = {}

    def open(self) -> None:
        """Begin on the running event loop."""
        self._turn = asyncio.Lock()

    async def close(self) -> None:
        """Close the connection; locks go with it."""
        connection, self._connection = self._connection, None
        self._locks.clear()
        if connection is not None:
            with contextlib.suppress(*LOST):
                await connection.close(timeout=STATEMENT_S)

    async def lock(self, key: bytes) -> bool:
        """Become the one process that runs `key`; False when another one does."""

        async def deed(connection: asyncpg.Connection[Any]) -> bool:
            got = await connection.fetchval("SELECT pg_try_advisory_lock($1)", _number(key))
            if got:
                self._locks[key] = connection
            return bool(got)

        try:
            return await self._do(deed)
        except asyncio.CancelledError:  # it may have been given at that moment
            if self._connection is not None:
                self._locks[key] = self._connection
                await self.unlock(key)
            raise

    async def unlock(self, key: bytes) -> None:
        """Let others run `key`. A lost connection has let go already."""
        held = self._locks.pop(key, None)
        if held is None or held.is_closed():
            return

        async def deed(connection: asyncpg.Connection[Any]) -> None:
            if connection is held:
                await connection.execute("SELECT pg_advisory_unlock($1)", _number(key))

        with contextlib.suppress(UnavailableError):
            await self._do(deed)

    async def find(self, key: bytes) -> Kept | None:
        """Answer what is kept for `key`; what has expired is gone."""

        async def deed(connection: asyncpg.Connection[Any]) -> asyncpg.Record | None:
            row = await connection.fetchrow(FIND, key)
            if row is not None and row["expired"]:
                await connection.execute(FORGET, key)
                return None
            return row

        row = await self._do(deed)
        if row is None:
            return None
        return Kept(
            request=row["request"],
            content=row["content"],
            status=row["status"],
            headers=_parsed(row["headers"]),
            body=row["body"],
            position=row["position"],
        )

    async def keep(self, claim: Claim, status: int, headers: Headers, body: bytes | None) -> None:
        """Keep an answer with its key; never over another request's."""
        seen = position.current.get()
        where = "" if seen is None else seen.text()
        written = orjson.dumps([[n.decode("latin-1"), v.decode("latin-1")] for n, v in headers])
        answer = (claim.counted.digest, status, written, body, where)

        async def deed(connection: asyncpg.Connection[Any]) -> None:
            await connection.execute(KEEP, claim.key, claim.owner, claim.request, *answer)

        await self._do(deed)

    async def sweep(self) -> None:
        """Delete expired rows in batches."""
        for _ in range(SWEEP_ROUNDS):
            done = await self._db.pool().execute(SWEEP, timeout=STATEMENT_S)
            if done != f"DELETE {SWEPT_AT_ONCE}":
                return

    async def _do(self, deed: Callable[[asyncpg.Connection[Any]], Awaitable[T]]) -> T:
        """Do it on the connection; again while the database is away: each may be repeated.

        Raise UnavailableError when it stays away.
        """
        patience = Patience(doing="look the Idempotency-Key up")
        while True:
            try:
                async with self._turn, asyncio.timeout(STATEMENT_S):
                    return await deed(await self._connected())
            except DRIVER_ERRORS as error:
                if not _is_away(error):
                    raise
                self._drop()
                await patience.pause(error)

    def _drop(self) -> None:
        """Let go of a connection that is lost; its locks are gone with it."""
        connection, self._connection = self._connection, None
        self._locks.clear()
        if connection is not None:
            connection.terminate()

    async def _connected(self) -> asyncpg.Connection[Any]:
        if self._connection is None or self._connection.is_closed():
            self._locks.clear()
            self._connection = await self._db.listener()
            await self._connection.execute("SET synchronous_commit = off")
        return self._connection


def _is_away(error: BaseException) -> bool:
    """Whether the server is gone, silent, or no primary any more."""
    silent = isinstance(error, TimeoutError | asyncpg.InterfaceError)
    return silent or fate(error) is Fate.LOST or sqlstate(error) in NOT_PRIMARY


def _number(key: bytes) -> int:
    """Answer the advisory lock's number: 64 bits of the key's digest."""
    return int.from_bytes(key[:8], "big", signed=True)


def _parsed(headers: bytes | None) -> Headers:
    pairs = cast("list[list[str]]", orjson.loads(headers)) if headers else []
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in pairs]
