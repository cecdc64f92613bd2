"""Documents, counters and sorted lists on servers: the distributed form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from millions.errors import SdkError
from millions.sdk.store.codec import decoded
from millions.sdk.store.documents import Document, Form, Scored
from millions.sdk.store.servers import scripts
from millions.sdk.store.servers.route import text
from millions.sdk.store.sorted_rows import TRIM_BATCH

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from millions.sdk.session import Session
    from millions.sdk.store.documents import Cursor, Put
    from millions.sdk.store.servers.asking import Asking

TTL_MS_MAX = 10**14
"""Three thousand years: more than that is for ever."""


def form(asking: Asking) -> Form:
    """The form that asks these servers."""
    return Form(documents=ServerDocuments(asking), lists=ServerLists(asking))


class ServerDocuments:
    """The part of the form that is documents and counters."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking

    async def many(
        self, keys: Sequence[str], session: Session | None = None
    ) -> dict[str, Document]:
        """The documents that there are."""
        _refuse(session)
        values = await self._asking.values([f"d:{key}" for key in keys])
        return {key: _document(each) for key, each in zip(keys, values, strict=True) if each}

    async def put(self, put: Put, session: Session | None) -> int | None:
        """Store one; None when another version is there."""
        _refuse(session)
        wanted = "" if put.if_version is None else str(put.if_version)
        version = await self._asking.write(
            *(scripts.PUT, put.key, put.text, _ttl_ms(put.ttl_s), wanted),
            harmless=put.if_version is None,
        )
        return int(version) if version else None

    async def delete(self, key: str, session: Session | None) -> bool:
        """Delete all that is there; whether there was any."""
        _refuse(session)
        return bool(await self._asking.write(scripts.DELETE, key, harmless=True))

    async def delete_version(self, key: str, version: int, session: Session | None) -> bool:
        """Delete a version of a document; whether it was there."""
        _refuse(session)
        deed = scripts.DELETE_VERSION
        return bool(await self._asking.write(deed, key, str(version), harmless=False))

    async def increment(
        self, key: str, by: int, ttl_s: float | None, session: Session | None
    ) -> int:
        """Count up; the new count."""
        _refuse(session)
        deed = scripts.INCREMENT
        return int(await self._asking.write(deed, key, str(by), _ttl_ms(ttl_s), harmless=False))

    async def counts(self, keys: Sequence[str]) -> dict[str, int]:
        """The counts that there are."""
        values = await self._asking.values([f"c:{key}" for key in keys])
        return {key: int(each) for key, each in zip(keys, values, strict=True) if each}


class ServerLists:
    """The part of the form that is sorted lists."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking

    async def add(self, key: str, scores: Mapping[str, float], session: Session | None) -> None:
        """Add or move members."""
        _refuse(session)
        if not scores:
            return
        pairs = [part for member, score in scores.items() for part in (member, repr(score))]
        await self._asking.write(scripts.ADD, key, *pairs, harmless=True)

    async def remove(self, key: str, members: Sequence[str], session: Session | None) -> int:
        """Remove members; how many were there."""
        _refuse(session)
        return int(await self._asking.write(scripts.REMOVE, key, *members, harmless=True))

    async def range(
        self, key: str, limit: int, before: Cursor | None, after: Cursor | None
    ) -> list[Scored]:
        """Members between two places, the highest first."""
        found: list[Any] = await self._asking.read(
            scripts.RANGE, key, limit, *_place(before), *_place(after)
        )
        return [
            Scored(member=text(member), score=float(score))
            for member, score in zip(found[::2], found[1::2], strict=True)
        ]

    async def score(self, key: str, member: str) -> float | None:
        """The score of a member."""
        found = await self._asking.read(scripts.SCORE, key, member)
        return None if found is None else float(found)

    async def size(self, key: str) -> int:
        """How many there are."""
        return int(await self._asking.read(scripts.SIZE, key))

    async def trim(self, key: str, keep: int, session: Session | None) -> int:
        """Remove some of those that are too many; how many."""
        _refuse(session)
        return int(await self._asking.write(scripts.TRIM, key, keep, TRIM_BATCH, harmless=True))

    async def add_to_many(
        self, keys: Sequence[str], item: Scored, keep: int | None, session: Session | None
    ) -> None:
        """Add to every list; those that have become too long are cut."""
        _refuse(session)
        kept = "" if keep is None else str(keep)
        given = (item.member, repr(item.score), kept)
        await self._asking.write(scripts.ADD_TO_MANY, *given, *keys, harmless=True)

    async def remove_from_many(
        self, keys: Sequence[str], member: str, session: Session | None
    ) -> None:
        """Remove from every list."""
        _refuse(session)
        await self._asking.write(scripts.REMOVE_FROM_MANY, member, *keys, harmless=True)


def _document(value: bytes) -> Document:
    version, _, document = value.partition(b":")
    return Document(value=decoded(document), version=int(version))


def _ttl_ms(ttl_s: float | None) -> str:
    if ttl_s is None or ttl_s * 1000 > TTL_MS_MAX:
        return ""
    return str(max(1, round(ttl_s * 1000)))


def _place(cursor: Cursor | None) -> tuple[str, str]:
    if cursor is None:
        return "", ""
    if isinstance(cursor, Scored):
        return repr(float(cursor.score)), cursor.member
    return repr(float(cursor)), ""


def _refuse(session: Session | None) -> None:
    """Refuse what only tables in the same database can do."""
    if session is not None:
        raise SdkError(
            cannot="write to the store as a part of a transaction",
            because="the store has servers of its own, which know nothing of the transaction",
            try_="a task of that transaction which writes to the store: enqueue(..., session=s)",
        )
