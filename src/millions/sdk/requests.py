"""The request under way: its id and what the parts of the middleware tell each other about it.

It never reads the body and never answers; it is what `millions.sdk.asgi` sets and others look up.
"""

from __future__ import annotations

import os
import re
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

HEADER = b"x-request-id"
"""The header in which a tier in front of us names the request, and in which we answer its name."""

ACCEPTABLE_ID = re.compile(rb"[A-Za-z0-9._-]{8,64}\Z")
"""What we take over from outside: long enough to be distinct, nothing that could forge a line."""

_RANDOM_BYTES = 2048
"""Random bytes fetched at once: one system call for 128 requests."""


class Request:
    """One request while it is being answered.

    `claim` belongs to its idempotency key; `refusal` is the error by which a file was refused.
    """

    __slots__ = ("claim", "id", "refusal", "scope", "started_s")

    def __init__(self, identity: str, scope: dict[str, Any], started_s: float) -> None:
        self.id = identity
        self.scope = scope
        self.started_s = started_s
        self.claim: Any = None
        self.refusal: Exception | None = None


_current: ContextVar[Request | None] = ContextVar("millions_request", default=None)
enter = _current.set
leave = _current.reset
current = _current.get


def request_id() -> str | None:
    """Answer the id of the request under way, or None outside of one."""
    request = _current.get()
    return None if request is None else request.id


class Identities:
    """Random request ids, 32 hexadecimal digits each."""

    __slots__ = ("_at", "_hex")

    def __init__(self) -> None:
        self._hex = ""
        self._at = 0

    def fresh(self) -> str:
        """Answer an id that was never given before."""
        if self._at >= len(self._hex):
            self._hex = os.urandom(_RANDOM_BYTES).hex()
            self._at = 0
        self._at += 32
        return self._hex[self._at - 32 : self._at]

    def of(self, headers: Iterable[tuple[bytes, bytes]]) -> str:
        """Answer the id that a tier in front gave, if it is acceptable, else a fresh one."""
        for name, value in headers:
            if name == HEADER and ACCEPTABLE_ID.match(value):
                return value.decode("ascii")
        return self.fresh()


def header(scope: dict[str, Any], name: bytes) -> bytes | None:
    """Answer the first header called `name` (lower case), or None."""
    for each, value in scope["headers"]:
        if each == name:
            found: bytes = value
            return found
    return None


def cookies(scope: dict[str, Any], start: bytes) -> dict[bytes, bytes]:
    """Answer the cookies whose names begin with `start`, the first of each name."""
    found: dict[bytes, bytes] = {}
    for each, value in scope["headers"]:
        if each == b"cookie" and start in value:
            for pair in value.split(b";"):
                name, equals, content = pair.strip().partition(b"=")
                if equals and name.startswith(start):
                    found.setdefault(name, content)
    return found
