"""Sorted lists as rows in PostgreSQL: the embedded form.

Lists that are told to keep some are trimmed now and then, so that adding stays cheap.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from millions.sdk.store.documents import Scored

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from millions.sdk.session import Session
    from millions.sdk.store.documents import Cursor
    from millions.sdk.store.rows import Rows

TRIM_ONE_IN = 16
"""Adding to a list trims it this often, by chance: it is then about this much longer than it
is told to be, and adding costs a sixteenth of looking for the end of the list."""

TRIM_BATCH = 1000
"""Members that one statement of `trim` removes."""

TRIM_WITH_ADD = 100
"""Members that adding removes from one list at most: several times what it adds between trims."""

_TRIM_LOCK = 0x74726D
"""With a hash of the key, the advisory lock of who trims a list; others leave it to them."""

_UPSERT = """
ON CONFLICT (key, member) DO UPDATE SET score = excluded.score
WHERE sorted_items.score <> excluded.score
"""

_ADD = f"""
INSERT INTO millions.sorted_items (key, member, score)
SELECT $1, member, score FROM unnest($2::text[], $3::float8[]) AS given (member, score)
{_UPSERT}
"""  # noqa: S608  # constants

_TRIM = """
DELETE FROM millions.sorted_items AS item USING (
    SELECT locked.key, locked.member
    FROM unnest({keys}::text[]) AS list (key),
    LATERAL (
        SELECT key, member, score FROM millions.sorted_items AS inner_item
        WHERE inner_item.key = list.key AND inner_item.member <> {spared}
        ORDER BY inner_item.score DESC, inner_item.member DESC
        OFFSET {keep} LIMIT {batch}
    ) AS surplus
    JOIN millions.sorted_items AS locked USING (key, member, score)
    WHERE {after} AND pg_try_advisory_xact_lock({lock}, hashtext(list.key))
    FOR UPDATE OF locked SKIP LOCKED
) AS surplus
WHERE item.key = surplus.key AND item.member = surplus.member
"""
"""Trimming waits for nobody, since others may wait for what it has removed: a member that
somebody else is moving stays, and so does one that was moved since it was looked at."""

_TRIM_ONE = (
    _TRIM.format(
        keys="ARRAY[$1]", spared="''", keep="$2", batch=TRIM_BATCH, lock=_TRIM_LOCK, after="true"
    )
    + " RETURNING item.member"
)

_ADD_TO_MANY = f"""
INSERT INTO millions.sorted_items (key, member, score)
SELECT key, $2, $3 FROM unnest($1::text[]) AS given (key)
{_UPSERT}
"""  # noqa: S608  # constants

_ADD_TO_MANY_AND_TRIM = f"WITH added AS ({_ADD_TO_MANY} RETURNING 1)" + _TRIM.format(  # noqa: S608  # constants
    keys="$4",
    spared="$2",
    keep="$5",
    batch=TRIM_WITH_ADD,
    lock=_TRIM_LOCK,
    after="(SELECT count(*) FROM added) >= 0",
)
"""It adds before it trims: who waits to add has removed nothing that another one waits for."""

_REMOVE = """
DELETE FROM millions.sorted_items AS item USING (
    SELECT key, member FROM millions.sorted_items
    WHERE key = ANY($1::text[]) AND member = ANY($2::text[])
    ORDER BY key, member FOR UPDATE
) AS locked
WHERE item.key = locked.key AND item.member = locked.member
RETURNING 1
"""
"""In one order for all, as adding does, so that nobody waits for another one in a ring."""

_SIZE = "SELECT count(*) AS size FROM millions.sorted_items WHERE key = $1"
_SCORE = "SELECT score FROM millions.sorted_items WHERE key = $1 AND member = $2"


class RowLists:
    """The part of the form that is sorted lists."""

    def __init__(self, rows: Rows, chance: Callable[[], float] = random.random) -> None:
        self._rows = rows
        self._chance = chance

    async def add(self, key: str, scores: Mapping[str, float], session: Session | None) -> None:
        """Add or move members."""
        members = sorted(scores)
        await self._rows.run(
            _ADD, key, members, [scores[each] for each in members], session=session
        )

    async def remove(self, key: str, members: Sequence[str], session: Session | None) -> int:
        """Remove members; how many were there."""
        return len(await self._rows.run(_REMOVE, [key], list(members), session=session))

    async def range(
        self, key: str, limit: int, before: Cursor | None, after: Cursor | None
    ) -> list[Scored]:
        """Members between two places, the highest first."""
        conditions, arguments = ["key = $1"], [key, limit]
        for sign, cursor in (("<", before), (">", after)):
            if cursor is not None:
                conditions.append(_condition(sign, cursor, arguments))
        rows = await self._rows.run(
            f"SELECT member, score FROM millions.sorted_items WHERE {' AND '.join(conditions)} "  # noqa: S608  # built of constants and numbers of parameters
            "ORDER BY score DESC, member DESC LIMIT $2",
            *arguments,
        )
        return [Scored(member=row["member"], score=row["score"]) for row in rows]

    async def score(self, key: str, member: str) -> float | None:
        """The score of a member."""
        rows = await self._rows.run(_SCORE, key, member)
        return rows[0]["score"] if rows else None

    async def size(self, key: str) -> int:
        """How many there are."""
        return int((await self._rows.run(_SIZE, key))[0]["size"])

    async def trim(self, key: str, keep: int, session: Session | None) -> int:
        """Remove some of those that are too many; how many."""
        return len(await self._rows.run(_TRIM_ONE, key, keep, session=session))

    async def add_to_many(
        self, keys: Sequence[str], item: Scored, keep: int | None, session: Session | None
    ) -> None:
        """Add to every list, trimming some of them."""
        given = (list(keys), item.member, item.score)
        due = [] if keep is None else [key for key in keys if self._chance() * TRIM_ONE_IN < 1.0]
        if due:
            await self._rows.run(_ADD_TO_MANY_AND_TRIM, *given, due, keep, session=session)
        else:
            await self._rows.run(_ADD_TO_MANY, *given, session=session)

    async def remove_from_many(
        self, keys: Sequence[str], member: str, session: Session | None
    ) -> None:
        """Remove from every list."""
        await self._rows.run(_REMOVE, list(keys), [member], session=session)


def _condition(sign: str, cursor: Cursor, arguments: list[Any]) -> str:
    """The SQL for "comes before (>) or after (<) `cursor`"; appends to `arguments`."""
    if isinstance(cursor, Scored):
        arguments += [cursor.score, cursor.member]
        return f"(score, member) {sign} (${len(arguments) - 1}, ${len(arguments)})"
    arguments.append(cursor)
    return f"score {sign} ${len(arguments)}"
