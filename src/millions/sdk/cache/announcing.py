"""Announcing: the text of the notifications that tell other processes which names are stale.

One transaction's names travel in as few notifications as fit; too many of them become one that
says "everything". It never sends anything by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

import orjson

if TYPE_CHECKING:
    from collections.abc import Collection

CHANNEL = "millions_cache"

PAYLOAD_BYTES_MAX = 7900
"""PostgreSQL takes notifications of less than 8000 bytes."""

HEAD_BYTES = 128
"""For the sender, and for which invalidation it is."""

PAYLOADS_MAX = 16
"""More would fill the server's queue; forgetting everything is safe, only slower."""

SQL = "SELECT pg_notify($1, payload) FROM unnest($2::text[]) AS payload"


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    """What one notification says: who sent it, and the stale names; None for all of them.

    `invalidation` is there when these are all names of one.
    """

    sender: str
    names: frozenset[str] | None
    invalidation: UUID | None = None


def payloads(sender: str, names: Collection[str], invalidation: UUID | None = None) -> list[str]:
    """The notifications that announce `names`, at most `PAYLOADS_MAX`."""
    texts: list[str] = []
    chunk: list[str] = []
    size = 0
    for name in sorted(names):
        name_bytes = len(orjson.dumps(name)) + 1
        if chunk and size + name_bytes > PAYLOAD_BYTES_MAX - HEAD_BYTES:
            texts.append(_text(sender, chunk))
            chunk, size = [], 0
        chunk.append(name)
        size += name_bytes
    texts.append(_text(sender, chunk, None if texts else invalidation))
    if len(texts) > PAYLOADS_MAX:
        return [_text(sender, None)]
    return texts


def parse(payload: str) -> Announcement:
    """Read a notification; one that cannot be read says "everything", which is safe."""
    try:
        document = orjson.loads(payload)
        names = document["names"]
        invalidation = document.get("id")
        return Announcement(
            sender=str(document["from"]),
            invalidation=None if invalidation is None else UUID(invalidation),
            names=None if names is None else frozenset(str(name) for name in names),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return Announcement(sender="", names=None)


def _text(sender: str, names: list[str] | None, invalidation: UUID | None = None) -> str:
    said = {"from": sender, "names": names}
    return orjson.dumps(said if invalidation is None else said | {"id": invalidation}).decode()
