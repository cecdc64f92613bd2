"""View counts: counters in the store. Losing one matters little, slowing a page down would."""

from __future__ import annotations

from typing import TYPE_CHECKING

from millions import store

if TYPE_CHECKING:
    from uuid import UUID


async def seen(photo_id: UUID, *, counted: bool) -> int:
    """How often a photo was looked at, this time included when it is `counted`."""
    key = f"views:{photo_id}"
    return await (store.increment(key) if counted else store.count(key))
