"""Sorted lists: members by score, the highest first; for feeds, rankings and presence.

A member is in a list once. It never reads a whole list.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol, TypeVar, cast

from millions.errors import SdkError
from millions.sdk.store.codec import checked_key, checked_keys, checked_score
from millions.sdk.store.documents import Cursor, Form, Scored
from millions.sdk.store.sorted_rows import TRIM_BATCH

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from millions.sdk.session import Session

Answer = TypeVar("Answer")

RANGE_MAX = 1000
"""The longest page; a longer list is read page by page."""

KEYS_PER_STATEMENT = 2000
"""A statement over this many lists took 60 ms here, 100 to 180 ms with what it trims (two busy
cores, fsync on); more lists go into further statements."""

TRIM_BATCHES_MAX = 10_000


class Doing(Protocol):
    """Does something with the form that the store has now, for some keys."""

    async def __call__(
        self, keys: Sequence[str], deed: Callable[[Form], Awaitable[Answer]]
    ) -> Answer:
        """Do it, and return what it answers."""
        ...


class SortedList:
    """One sorted list; made by `store.sorted(key)`, without I/O.

    A write with `session` belongs to that transaction (in the embedded form).
    """

    __slots__ = ("_do", "key")

    def __init__(self, do: Doing, key: str) -> None:
        self._do = do
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
            part = {each: scores[each] for each in members[start : start + KEYS_PER_STATEMENT]}
            await self._add(part, session)

    async def _add(self, scores: Mapping[str, float], session: Session | None) -> None:
        await self._do([self.key], lambda form: form.lists.add(self.key, scores, session))

    async def remove(self, *members: str, session: Session | None = None) -> int:
        """Remove members; say how many were there."""
        return await self._do(
            [self.key], lambda form: form.lists.remove(self.key, sorted(members), session)
        )

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
        ends = [cursor for cursor in (before, after) if cursor is not None]
        for cursor in ends:
            checked_score(cursor.score if isinstance(cursor, Scored) else cursor)
        return await self._do(
            [self.key], lambda form: form.lists.range(self.key, limit, before, after)
        )

    async def score(self, member: str) -> float | None:
        """The score of `member`; None when it is not in the list."""
        return await self._do([self.key], lambda form: form.lists.score(self.key, member))

    async def size(self) -> int:
        """How many members there are (counts them: for lists of thousands, not of millions)."""
        return await self._do([self.key], lambda form: form.lists.size(self.key))

    async def trim(self, keep: int, *, session: Session | None = None) -> int:
        """Remove all but the `keep` highest, batch by batch; say how many were removed.

        While another process trims the same list it is left to that one.
        """
        _check_keep(keep)
        removed = 0
        for _ in range(TRIM_BATCHES_MAX):
            batch = await self._do(
                [self.key], lambda form: form.lists.trim(self.key, keep, session)
            )
            removed += batch
            if batch < TRIM_BATCH:
                break
        return removed


async def add_to_many(
    do: Doing,
    keys: Iterable[str],
    item: Scored,
    *,
    keep: int | None,
    session: Session | None,
) -> None:
    """Add `item` to every list of `keys`, trimming some of them to `keep`."""
    checked_key(item.member, "member")
    checked_score(item.score)
    if keep is not None:
        _check_keep(keep)

    async def add(part: list[str]) -> None:
        await do(part, lambda form: form.lists.add_to_many(part, item, keep, session))

    for part in _parts(keys):
        await add(part)


async def remove_from_many(
    do: Doing, keys: Iterable[str], member: str, *, session: Session | None
) -> None:
    """Remove `member` from every list of `keys`."""

    async def remove(part: list[str]) -> None:
        await do(part, lambda form: form.lists.remove_from_many(part, member, session))

    for part in _parts(keys):
        await remove(part)


def _parts(keys: Iterable[str]) -> list[list[str]]:
    ordered = checked_keys(list(keys))
    return [
        ordered[start : start + KEYS_PER_STATEMENT]
        for start in range(0, len(ordered), KEYS_PER_STATEMENT)
    ]


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


def _check_keep(keep: int) -> None:
    if keep < 0:
        raise SdkError(cannot=f"keep {keep} members", because="it is below 0", try_="keep=500")
