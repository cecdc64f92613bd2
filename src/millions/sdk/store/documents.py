"""What a form of the store can do, and what it answers with. Two forms: tables, and servers.

Keys, values and bounds were checked before a form is asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from millions.sdk.session import Session


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """What is stored under a key: a JSON value of the caller's own, and its version."""

    value: Any
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """A member of a sorted list. As a cursor it stands for its own place in the order."""

    member: str
    score: float


Cursor = Scored | float
"""A place in the order: a member's, or the whole of a score."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Put:
    """One document to be stored: its key, its JSON text, how long, and in place of which version.

    `if_version` None stands for whatever there is, 0 for nothing.
    """

    key: str
    text: str
    ttl_s: float | None
    if_version: int | None


class Documents(Protocol):
    """Documents and counters."""

    async def many(
        self, keys: Sequence[str], session: Session | None = None
    ) -> dict[str, Document]:
        """The documents that there are."""
        ...

    async def put(self, put: Put, session: Session | None) -> int | None:
        """The new version; None when there is another one than `if_version`."""
        ...

    async def delete(self, key: str, session: Session | None) -> bool:
        """Whether there was a document, counter or list."""
        ...

    async def delete_version(self, key: str, version: int, session: Session | None) -> bool:
        """Whether that version of the document was there."""
        ...

    async def increment(
        self, key: str, by: int, ttl_s: float | None, session: Session | None
    ) -> int:
        """Count up; the new count."""
        ...

    async def counts(self, keys: Sequence[str]) -> dict[str, int]:
        """Those that are there."""
        ...


class Lists(Protocol):
    """Sorted lists."""

    async def add(self, key: str, scores: Mapping[str, float], session: Session | None) -> None:
        """Add or move members."""
        ...

    async def remove(self, key: str, members: Sequence[str], session: Session | None) -> int:
        """Remove members; how many were there."""
        ...

    async def range(
        self, key: str, limit: int, before: Cursor | None, after: Cursor | None
    ) -> list[Scored]:
        """Members between two places, the highest first."""
        ...

    async def score(self, key: str, member: str) -> float | None:
        """The score of a member."""
        ...

    async def size(self, key: str) -> int:
        """How many members there are."""
        ...

    async def trim(self, key: str, keep: int, session: Session | None) -> int:
        """How many of those that are too many were removed, `TRIM_BATCH` at most."""
        ...

    async def add_to_many(
        self, keys: Sequence[str], item: Scored, keep: int | None, session: Session | None
    ) -> None:
        """Add to lists, `KEYS_PER_STATEMENT` at most."""
        ...

    async def remove_from_many(
        self, keys: Sequence[str], member: str, session: Session | None
    ) -> None:
        """Remove from every list."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """One form of the store."""

    documents: Documents
    lists: Lists
