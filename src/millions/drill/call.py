"""One call of the application that drills run, and what its routes have in common. It is no route.

Reads are repeated when a server dies meanwhile: a read may always be repeated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy.exc import DBAPIError

from millions.errors import SdkError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Answer = tuple[int, Any]
    Route = Callable[["Call"], Awaitable[Answer]]

T = TypeVar("T")

READS_MAX = 4
"""A server and its successor may both die, more is another matter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call: which thing is meant, its JSON body, the ASGI scope.

    A `strong` read is of the newest value; it asks the primary.
    """

    key: str
    body: Any
    strong: bool
    scope: Any


async def read_again(read: Callable[[], Awaitable[T]]) -> T:
    """Read, up to `READS_MAX` times; the last error is raised."""
    for _ in range(1, READS_MAX):
        try:
            return await read()
        except (SdkError, DBAPIError, OSError):
            continue
    return await read()
