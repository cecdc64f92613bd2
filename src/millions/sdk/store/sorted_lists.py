"""Sorted lists: members by score, the highest first; for feeds, rankings and presence.

A member is in a list once. Lists that are told to `keep` some are trimmed now and then, in bounded
batches, so that adding stays cheap. It never reads a whole list.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from millions.errors import SdkError
from millions.sdk.store.codec import checked_key, checked_keys, checked_score

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from millions.sdk.session import Session
    from millions.sdk.store.rows import Rows

RANGE_MAX = 1000
"""The longest page; a longer list is read page by page."""

KEYS_PER_STATEMENT = 2000
"""A statement over this many lists took 60 ms here, 100 to 180 ms with what it trims (two busy
cores, fsync on); more lists go into further statements."""

TRIM_ONE_IN = 16
"""Adding to a list trims it this often, by chance: it is then about this much longer than it
is told to be, and adding costs a sixteenth of looking for the end of the list."""

TRIM_BATCH = 1000
"""Members that one statement of `trim` removes."""

TRIM_WITH_ADD = 100
"""Members that adding removes from one list at most: several times what it adds between trims."""

TRIM_BATCHES_MAX = 10_000

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
    SELECT surplus.key, surplus.member
    FROM unnest({keys}::text[]) AS list (key),
    LATERAL (
        SELECT key, member FROM millions.sorted_items AS inner_item
        WHERE inner_item.key = list.key AND inner_item.member <> {spared}
        ORDER BY inner_item.score DESC, inner_item.member DESC
        OFFSET {keep} LIMIT {batch}
    ) AS surplus
    WHERE pg_try_advisory_xact_lock({lock}, hashtext(list.key))
) AS surplus
WHERE item.key = surplus.key AND item.member = surplus.member
"""

_TRIM_ONE = (
    _TRIM.format(keys="ARRAY[$1]", spared="''", keep="$2", batch=TRIM_BATCH, lock=_TRIM_LOCK)
    + " RETURNING item.member"
)

_ADD_TO_MANY = f"""
INSERT INTO millions.sorted_items (key, member, score)
SELECT key, $2, $3 FROM unnest($1::text[]) AS given (key)
{_UPSERT}
"""  # noqa: S608  # constants

_ADD_TO_MANY_AND_TRIM = f"WITH added AS ({_ADD_TO_MANY}) " + _TRIM.format(
    keys="$4", spared="$2", keep="$5", batch=TRIM_WITH_ADD, lock=_TRIM_LOCK
)

_REMOVE = (
    "DELETE FROM millions.sorted_items WHERE key = $1 AND member = ANY($2::text[]) RETURNING 1"
)
_REMOVE_FROM_MANY = """
DELETE FROM millions.sorted_items WHERE key = ANY($1::text[]) AND member = $2
"""
_SIZE = "SELECT count(*) AS size FROM millions.sorted_items WHERE key = $1"
_SCORE = "SELECT score FROM millions.sorted_items WHERE key = $1 AND member = $2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """A member of a sorted list. As a cursor it stands for its own place in the order."""

    member: str
    score: float


Cursor = Scored | float
"""A place in the order: a member's, or the whole of a score."""


class SortedList:
    """One sorted list; made by `store.sorted(key)`, without I/O.

    A write with `session` belongs to that transaction (in the embedded form).
    """

    __slots__ = ("_rows", "key")

    def __init__(self, rows: Rows, key: str) -> None:
        self._rows = rows
        self.key = checked_key(key)

    async def add(self, member: str, score: float, *, session: Session | None = None) -> None:
        """Add `member`, or move it to `score`."""
        await self.add_many({member: score}, session=session)

    async def add_many(
        self,
        items: Mapping[str, float] | Iterable[Scored | tuple[str, float]],
        *,
        session: Session | None = None,
    ) -> None:
        """Add or move many members at once; the last of equal members counts."""
        scores = _scores(items)
        members = sorted(scores)
        for start in range(0, len(members), KEYS_PER_STATEMENT):
            part = members[start : start + KEYS_PER_STATEMENT]
            await self._rows.run(
                _ADD, self.key, part, [scores[each] for each in part], session=session
            )

    async def remove(self, *members: str, session: Session | None = None) -> int:
        """Remove members; say how many were there."""
        return len(await self._rows.run(_REMOVE, self.key, sorted(members), session=session))

    async def range(
        self, limit: int = 50, *, before: Cursor | None = None, after: Cursor | None = None
    ) -> list[Scored]:
        """Up to `limit` members, the highest score first, equal scores by member backwards.

        `before` gives those that follow in this order (lower ones): pass the last item of a page to
        get the next. `after` gives those that come first (higher ones), for what is new.
        """
        if not 1 <= limit <= RANGE_MAX:
            raise SdkError(
                cannot=f"read {limit} members of {self.key!r}",
                because=f"one page has 1 to {RANGE_MAX}",
                try_="before=page[-1], for the page after",
            )
        conditions, arguments = ["key = $1"], [self.key, limit]
        for sign, cursor in (("<", before), (">", after)):
            if cursor is not None:
                conditions.append(_condition(sign, cursor, arguments))
        rows = await self._rows.run(
            f"SELECT member, score FROM millions.sorted_items WHERE {' AND '.join(conditions)} "  # noqa: S608  # built of constants and numbers of parameters
            "ORDER BY score DESC, member DESC LIMIT $2",
            *arguments,
        )
        return [Scored(member=row["member"], score=row["score"]) for row in rows]

    async def score(self, member: str) -> float | None:
        """The score of `member`; None when it is not in the list."""
        rows = await self._rows.run(_SCORE, self.key, member)
        return rows[0]["score"] if rows else None

    async def size(self) -> int:
        """How many members there are (counts them: for lists of thousands, not of millions)."""
        return int((await self._rows.run(_SIZE, self.key))[0]["size"])

    async def trim(self, keep: int, *, session: Session | None = None) -> int:
        """Remove all but the `keep` highest, batch by batch; say how many were removed.

        While another process trims the same list it is left to that one.
        """
        _check_keep(keep)
        removed = 0
        for _ in range(TRIM_BATCHES_MAX):
            batch = len(await self._rows.run(_TRIM_ONE, self.key, keep, session=session))
            removed += batch
            if batch < TRIM_BATCH:
                break
        return removed


async def add_to_many(
    rows: Rows,
    keys: Iterable[str],
    item: Scored,
    *,
    keep: int | None,
    session: Session | None,
    chance: Callable[[], float] = random.random,
) -> None:
    """Add `item` to every list of `keys`, trimming some of them to `keep`."""
    member, score = checked_key(item.member, "member"), checked_score(item.score)
    ordered = checked_keys(list(keys))
    for start in range(0, len(ordered), KEYS_PER_STATEMENT):
        part = ordered[start : start + KEYS_PER_STATEMENT]
        if keep is None:
            await rows.run(_ADD_TO_MANY, part, member, score, session=session)
            continue
        _check_keep(keep)
        due = [key for key in part if chance() * TRIM_ONE_IN < 1.0]
        if due:
            await rows.run(_ADD_TO_MANY_AND_TRIM, part, member, score, due, keep, session=session)
        else:
            await rows.run(_ADD_TO_MANY, part, member, score, session=session)


async def remove_from_many(
    rows: Rows, keys: Iterable[str], member: str, *, session: Session | None
) -> None:
    """Remove `member` from every list of `keys`."""
    ordered = checked_keys(list(keys))
    for start in range(0, len(ordered), KEYS_PER_STATEMENT):
        part = ordered[start : start + KEYS_PER_STATEMENT]
        await rows.run(_REMOVE_FROM_MANY, part, member, session=session)


def _scores(
    items: Mapping[str, float] | Iterable[Scored | tuple[str, float]],
) -> dict[str, float]:
    pairs: Iterable[Scored | tuple[str, float]]
    pairs = cast("Mapping[str, float]", items).items() if isinstance(items, Mapping) else items
    scores: dict[str, float] = {}
    for each in pairs:
        member, score = (each.member, each.score) if isinstance(each, Scored) else each
        scores[checked_key(member, "member")] = checked_score(score)
    return scores


def _condition(sign: str, cursor: Cursor, arguments: list[Any]) -> str:
    """The SQL for "comes before (>) or after (<) `cursor`"; appends to `arguments`."""
    if isinstance(cursor, Scored):
        arguments += [checked_score(cursor.score), cursor.member]
        return f"(score, member) {sign} (${len(arguments) - 1}, ${len(arguments)})"
    arguments.append(checked_score(cursor))
    return f"score {sign} ${len(arguments)}"


def _check_keep(keep: int) -> None:
    if keep < 0:
        raise SdkError(cannot=f"keep {keep} members", because="it is below 0", try_="keep=500")
