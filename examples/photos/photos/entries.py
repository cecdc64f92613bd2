"""A photo's place in a feed, as the store keeps it.

An entry is `owner:photo`, its score the time inside the photo's id: writing it twice is writing it
once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from millions import store

if TYPE_CHECKING:
    from millions.sdk.store import SortedList

KEPT = 500
"""Entries kept in a feed; trimmed when it is read."""


def feed_of(user_id: UUID) -> SortedList:
    """The feed of one person."""
    return store.sorted(f"feed:{user_id}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A photo's place in a feed."""

    owner_id: UUID
    photo_id: UUID

    @property
    def score(self) -> float:
        """Milliseconds since 1970: the time inside the photo's id."""
        return float(self.photo_id.int >> 80)

    @property
    def member(self) -> str:
        """The entry as the store keeps it."""
        return f"{self.owner_id}:{self.photo_id}"


def entry(member: str) -> Entry:
    """An entry from what the store kept."""
    owner, photo = member.split(":")
    return Entry(owner_id=UUID(owner), photo_id=UUID(photo))
