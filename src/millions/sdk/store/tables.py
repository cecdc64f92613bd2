"""Documents and counters as rows in PostgreSQL: the embedded form.

A write may belong to the caller's transaction. What is over is invisible at once, by the clock of
the database.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from millions.sdk.store.codec import decoded
from millions.sdk.store.documents import Document

if TYPE_CHECKING:
    from collections.abc import Sequence

    from millions.sdk.session import Session
    from millions.sdk.store.documents import Put
    from millions.sdk.store.rows import Rows

ABSENT = 0

_LIVE = "(expires_at IS NULL OR expires_at > statement_timestamp())"
_EXPIRES = "statement_timestamp() + make_interval(secs => $3)"

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
     locked AS (SELECT member FROM millions.sorted_items WHERE key = $1
                ORDER BY member FOR UPDATE),
     item AS (DELETE FROM millions.sorted_items AS item USING locked
              WHERE item.key = $1 AND item.member = locked.member RETURNING true AS live)
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


class RowDocuments:
    """The part of the form that is documents and counters."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    async def many(
        self, keys: Sequence[str], session: Session | None = None
    ) -> dict[str, Document]:
        """The documents that there are."""
        rows = await self._rows.run(_MANY, list(keys), session=session)
        return {
            row["key"]: Document(value=decoded(row["value"]), version=row["version"])
            for row in rows
        }

    async def put(self, put: Put, session: Session | None) -> int | None:
        """Store one; None when another version is there."""
        given: list[Any] = [put.key, put.text, put.ttl_s]
        if put.if_version is None:
            rows = await self._rows.run(_PUT_ALWAYS, *given, session=session)
        elif put.if_version == ABSENT:
            rows = await self._rows.run(_PUT_ABSENT, *given, session=session, harmless=False)
        else:
            given.append(put.if_version)
            rows = await self._rows.run(_PUT_VERSION, *given, session=session, harmless=False)
        return int(rows[0]["version"]) if rows else None

    async def delete(self, key: str, session: Session | None) -> bool:
        """Delete all that is there; whether there was any."""
        return bool(await self._rows.run(_DELETE, key, session=session))

    async def delete_version(self, key: str, version: int, session: Session | None) -> bool:
        """Delete a version of a document; whether it was there."""
        rows = await self._rows.run(_DELETE_VERSION, key, version, session=session, harmless=False)
        return bool(rows)

    async def increment(
        self, key: str, by: int, ttl_s: float | None, session: Session | None
    ) -> int:
        """Count up; the new count."""
        rows = await self._rows.run(
            _INCREMENT, key, by, ttl_s, session=session, harmless=session is not None
        )
        return int(rows[0]["value"])

    async def counts(self, keys: Sequence[str]) -> dict[str, int]:
        """The counts that there are."""
        rows = await self._rows.run(_COUNTS, list(keys))
        return {row["key"]: row["value"] for row in rows}
