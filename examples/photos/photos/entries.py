"""A photo's place in a feed, as the store keeps it.

An entry is `owner:photo`, its score the time inside the photo's id: writing it twice is writing it
once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from millions import store
from millions.sdk.store import Scored

if TYPE_CHECKING:
    from millions.sdk.store import SortedList

KEPT = 500
"""Entries kept in a feed; the store drops older ones now and then."""


def feed_of(user_id: UUID) -> SortedList:
    """The feed of one person."""
    return store.sorted(feed_key(user_id))


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
        """The entry as the store keeps it, and as the address of a page names it."""
        return f"{self.owner_id}:{self.photo_id}"

    @property
    def place(self) -> tuple[float, str]:
        """Where it stands: the order of the store, highest first."""
        return self.score, self.member

    @property
    def scored(self) -> Scored:
        """The entry as the store's cursor."""
        return Scored(member=self.member, score=self.score)


def feed_key(user_id: UUID) -> str:
    """Under what the store keeps the feed of one person."""
    return f"feed:{user_id}"


def entry(member: str) -> Entry:
    """An entry from its member. Raise ValueError when it is none."""
    owner, photo = member.split(":")
    return Entry(owner_id=UUID(owner), photo_id=UUID(photo))
