"""What a place for files can do: the folder of rung 1, a bucket of S3 storage from rung 6 on.

Names are checked before they come here. What a place takes, it has whole or not at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from millions.sdk.files_upload import Staged


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """One stored file. `etag` changes exactly when its content does."""

    name: str
    size: int
    content_type: str
    etag: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A file as a place holds it: `place` is where, `mark` names this version of it there.

    `at_s` is the time at which it was stored (unix seconds).
    """

    about: StoredFile
    place: Place
    mark: str
    at_s: float


class Place(Protocol):
    """Where files lie. Each method waits within bounds, and raises when nothing answers."""

    async def put(self, upload: Staged) -> StoredFile:
        """Store it in place of what was there."""
        ...

    async def find(self, name: str) -> Held | None:
        """Say what is held as `name`; None when there is nothing."""
        ...

    async def read(self, held: Held, span: tuple[int, int]) -> bytes:
        """Answer the bytes from `span[0]` up to `span[1]` of this very version."""
        ...

    async def delete(self, name: str) -> bool:
        """Delete `name`; answer whether it was there."""
        ...
