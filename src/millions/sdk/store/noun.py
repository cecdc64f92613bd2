"""`store`: data without relations: documents by key, counters, sorted lists.

The embedded form: tables in PostgreSQL, so that a write may belong to the caller's transaction.
What a write acknowledged is durable. Nothing here expires late: what is over is invisible at once.
It never joins, searches or scans.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from millions.errors import ConflictError, SdkError, UnavailableError
from millions.sdk.store import sorted_lists
from millions.sdk.store.codec import (
    checked_count,
    checked_key,
    checked_keys,
    checked_ttl,
    decoded,
    encoded,
)
from millions.sdk.store.counting import Counting
from millions.sdk.store.rows import PoolSource, Rows
from millions.sdk.store.sorted_lists import Scored, SortedList
from millions.sdk.store.sweeping import Sweeping

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import asyncpg

    from millions.directory import Directory
    from millions.sdk.session import Session

ABSENT = 0
"""As `if_version`: only when there is no document yet."""

MANY_MAX = 10_000
"""Keys that one `many` or `counts` asks for."""

_LIVE = "(expires_at IS NULL OR expires_at > statement_timestamp())"
_EXPIRES = "statement_timestamp() + make_interval(secs => $3)"

_GET = f"SELECT value, version FROM millions.documents WHERE key = $1 AND {_LIVE}"  # noqa: S608
_MANY = f"""
SELECT key, value, version FROM millions.documents WHERE key = ANY($1::text[]) AND {_LIVE}
"""  # noqa: S608  # constants, here and below

_PUT = f"""
INSERT INTO millions.documents AS document (key, value, version, expires_at)
VALUES ($1, $2, nextval('millions.store_versions'), {_EXPIRES})
ON CONFLICT (key) DO UPDATE SET value = excluded.value,
    version = nextval('millions.store_versions'), expires_at = excluded.expires_at
{{condition}}
RETURNING version
"""  # noqa: S608
_PUT_ALWAYS = _PUT.format(condition="")
_PUT_ABSENT = _PUT.format(condition="WHERE document.expires_at <= statement_timestamp()")
_PUT_VERSION = f"""
UPDATE millions.documents
SET value = $2, version = nextval('millions.store_versions'), expires_at = {_EXPIRES}
WHERE key = $1 AND version = $4 AND {_LIVE}
RETURNING version
"""  # noqa: S608

_DELETE = f"""
WITH document AS (DELETE FROM millions.documents WHERE key = $1 RETURNING {_LIVE} AS live),
     counter AS (DELETE FROM millions.counters WHERE key = $1 RETURNING {_LIVE} AS live),
     item AS (DELETE FROM millions.sorted_items WHERE key = $1 RETURNING true AS live)
SELECT live FROM document WHERE live
UNION ALL SELECT live FROM counter WHERE live
UNION ALL (SELECT live FROM item LIMIT 1)
"""  # noqa: S608
_DELETE_VERSION = f"""
DELETE FROM millions.documents WHERE key = $1 AND version = $2 AND {_LIVE} RETURNING true
"""  # noqa: S608

_INCREMENT = f"""
INSERT INTO millions.counters AS counter (key, value, expires_at) VALUES ($1, $2, {_EXPIRES})
ON CONFLICT (key) DO UPDATE SET
    value = CASE WHEN counter.expires_at <= statement_timestamp()
        THEN excluded.value ELSE counter.value + excluded.value END,
    expires_at = CASE WHEN counter.expires_at <= statement_timestamp()
        THEN excluded.expires_at ELSE counter.expires_at END
RETURNING value
"""  # noqa: S608
_COUNTS = f"""
SELECT key, value FROM millions.counters WHERE key = ANY($1::text[]) AND {_LIVE}
"""  # noqa: S608


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """What is stored under a key: a JSON value of the caller's own, and its version."""

    value: Any
    version: int


class Store:
    """The noun `store`. A key names a document, a counter and a sorted list of its own.

    `session` puts a write into the caller's transaction; only the embedded form can do that.
    """

    def __init__(self, database: PoolSource) -> None:
        self._rows = Rows(database)
        self._counting = Counting(self._increment_alone)
        self._is_open = False
        self.sweeping = Sweeping(database)

    async def open(self, directory: Directory) -> None:
        """Begin to sweep what is over."""
        if directory.store.servers:
            raise UnavailableError(
                cannot="open the store",
                because="the directory names NoSQL servers, which this version cannot talk to",
                try_="a version of millions that knows rung 7",
            )
        self._is_open = True
        self.sweeping.start()

    async def close(self) -> None:
        """Stop sweeping and counting."""
        self._is_open = False
        await self._counting.close()
        await self.sweeping.stop()

    async def get(self, key: str) -> Document | None:
        """The document under `key`."""
        rows = await self._run(_GET, checked_key(key))
        return _document(rows[0]) if rows else None

    async def many(self, keys: Iterable[str]) -> dict[str, Document]:
        """The documents under those of `keys` that have one."""
        rows = await self._run(_MANY, _checked_many(keys))
        return {row["key"]: _document(row) for row in rows}

    async def put(
        self,
        key: str,
        value: Any,
        *,
        ttl_s: float | None = None,
        if_version: int | None = None,
        session: Session | None = None,
    ) -> int:
        """Store `value` and return its version; for `ttl_s` seconds, or for ever.

        `if_version` is the version that it replaces, 0 for none; raise ConflictError when there is
        another.
        """
        checked_key(key)
        given = [key, encoded(key, value), checked_ttl(ttl_s)]
        if if_version is None:
            rows = await self._run(_PUT_ALWAYS, *given, session=session)
        elif if_version == ABSENT:
            rows = await self._run(_PUT_ABSENT, *given, session=session, harmless=False)
        else:
            rows = await self._run(
                _PUT_VERSION, *given, if_version, session=session, harmless=False
            )
        if not rows:
            raise await self._conflict("put", key, if_version, session)
        return int(rows[0]["version"])

    async def delete(
        self, key: str, *, if_version: int | None = None, session: Session | None = None
    ) -> bool:
        """Delete what is under `key`: document, counter and list; say whether there was any.

        With `if_version` only the document, and only that version; raise ConflictError when there
        is another.
        """
        checked_key(key)
        if if_version is None:
            return bool(await self._run(_DELETE, key, session=session))
        if await self._run(_DELETE_VERSION, key, if_version, session=session, harmless=False):
            return True
        if await self._run(_GET, key, session=session):
            raise await self._conflict("delete", key, if_version, session)
        return False

    async def increment(
        self, key: str, by: int = 1, *, ttl_s: float | None = None, session: Session | None = None
    ) -> int:
        """Count up by `by` and return the new count.

        `ttl_s` runs from the increment that made the counter: a window that does not slide.
        """
        checked_key(key)
        checked_count(by)
        checked_ttl(ttl_s)
        if session is None:
            return await self._counting.increment(key, by, ttl_s)
        rows = await self._run(_INCREMENT, key, by, ttl_s, session=session)
        return int(rows[0]["value"])

    async def count(self, key: str) -> int:
        """The count under `key`; 0 when there is none."""
        return (await self.counts([key]))[key]

    async def counts(self, keys: Iterable[str]) -> dict[str, int]:
        """The count under each of `keys`; 0 where there is none."""
        asked = _checked_many(keys)
        rows = await self._run(_COUNTS, asked)
        return dict.fromkeys(asked, 0) | {row["key"]: row["value"] for row in rows}

    def sorted(self, key: str) -> SortedList:
        """The sorted list under `key`; an empty one needs no making."""
        self._check_open()
        return SortedList(self._rows, key)

    async def add_to_many(
        self,
        keys: Iterable[str],
        member: str,
        score: float,
        *,
        keep: int | None = None,
        session: Session | None = None,
    ) -> None:
        """Add `member` to each of the sorted lists `keys`, thousands at once.

        Each list keeps its `keep` highest members at least, and soon drops the others.
        """
        self._check_open()
        item = Scored(member=member, score=score)
        await sorted_lists.add_to_many(self._rows, keys, item, keep=keep, session=session)

    async def remove_from_many(
        self, keys: Iterable[str], member: str, *, session: Session | None = None
    ) -> None:
        """Remove `member` from each of the sorted lists `keys`."""
        self._check_open()
        await sorted_lists.remove_from_many(self._rows, keys, member, session=session)

    async def _run(
        self, sql: str, *arguments: Any, session: Session | None = None, harmless: bool = True
    ) -> Sequence[asyncpg.Record]:
        self._check_open()
        return await self._rows.run(sql, *arguments, session=session, harmless=harmless)

    async def _increment_alone(self, key: str, by: int, ttl_s: float | None) -> int:
        rows = await self._run(_INCREMENT, key, by, ttl_s, harmless=False)
        return int(rows[0]["value"])

    async def _conflict(
        self, deed: str, key: str, if_version: int | None, session: Session | None
    ) -> ConflictError:
        rows = await self._run(_GET, key, session=session)
        found = f"its version is {rows[0]['version']}" if rows else "there is none"
        return ConflictError(
            cannot=f"{deed} the document {key!r} if its version is {if_version}",
            because=found,
            try_="store.get it again, apply the change to that, and put with its version",
        )

    def _check_open(self) -> None:
        if not self._is_open:
            raise UnavailableError(
                cannot="use the store",
                because="it is not open",
                try_="run inside Millions(app), or `async with millions.sdk.nouns.running():`",
            )


def _document(row: asyncpg.Record) -> Document:
    return Document(value=decoded(row["value"]), version=row["version"])


def _checked_many(keys: Iterable[str]) -> list[str]:
    asked = checked_keys(list(keys))
    if len(asked) > MANY_MAX:
        raise SdkError(
            cannot=f"ask for {len(asked)} keys at once",
            because=f"{MANY_MAX} are the most",
            try_="several calls",
        )
    return asked
