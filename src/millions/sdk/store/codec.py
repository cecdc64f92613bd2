"""Codec: documents as JSON text, and what may be a key, a member, a score or a time to live.

It refuses what JSON would change without a word (NaN becomes null) rather than store it.
"""

from __future__ import annotations

import math
from typing import Any, cast

import orjson

from millions.errors import SdkError

KEY_CHARACTERS_MAX = 512
"""Keys and members are indexed; an index entry of PostgreSQL holds about 2700 bytes."""

DOCUMENT_BYTES_MAX = 1 << 20
"""Larger things are files. NoSQL servers bound a message to 1 MiB by default."""

COUNT_MAX = (1 << 63) - 1

_OPTIONS = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_SUBCLASS


def encoded(key: str, value: Any) -> str:
    """`value` as JSON text. Raise SdkError when JSON cannot hold it, or it is too large."""
    try:
        text = orjson.dumps(value, option=_OPTIONS)
    except orjson.JSONEncodeError as error:
        raise _refusal(key, str(error), "text, numbers, lists and dicts with text keys") from error
    if len(text) > DOCUMENT_BYTES_MAX:
        raise _refusal(
            key,
            f"it has {len(text)} bytes, {DOCUMENT_BYTES_MAX} at most",
            "files.put(...), and its name in the document",
        )
    if b"null" in text and _holds_nan(value):
        raise _refusal(key, "JSON has no NaN and no infinity", "None, or a number")
    return text.decode()


def decoded(text: str | bytes) -> Any:
    """The value that was stored."""
    return orjson.loads(text)


def checked_key(key: str, what: str = "key") -> str:
    """Return `key`. Raise SdkError when it cannot be one."""
    try:
        whole = 0 < len(key) <= KEY_CHARACTERS_MAX and b"\0" not in key.encode()
    except UnicodeEncodeError:
        whole = False
    if not whole:
        raise SdkError(
            cannot=f"use {key[:40]!a} as a {what} in the store",
            because=f"it has {len(key)} characters; 1 to {KEY_CHARACTERS_MAX} are taken, "
            "and no NUL or half of a pair",
            try_="a shorter one, such as a hash of it",
        )
    return key


def checked_keys(keys: list[str]) -> list[str]:
    """Each of them once, in an order that all who lock them share."""
    return sorted({checked_key(key) for key in keys})


def checked_score(score: float) -> float:
    """Return `score`. Raise SdkError when it cannot be compared."""
    if not math.isfinite(score):
        raise SdkError(
            cannot=f"sort by {score!r}", because="it is not a finite number", try_="a time in s"
        )
    return float(score)


def checked_ttl(ttl_s: float | None) -> float | None:
    """Return `ttl_s`. Raise SdkError when it is no time to live."""
    if ttl_s is not None and not 0 < ttl_s < float("inf"):
        raise SdkError(
            cannot=f"keep something for ttl_s={ttl_s!r}",
            because="it is a number of seconds above 0, or None for ever",
            try_="delete, to be rid of it at once",
        )
    return ttl_s


def checked_count(by: int) -> int:
    """Return `by`. Raise SdkError when a counter cannot move by it."""
    if not -COUNT_MAX <= by <= COUNT_MAX:
        raise SdkError(
            cannot=f"count by {by}", because="a counter has 64 bits", try_="a smaller step"
        )
    return by


def _holds_nan(value: Any) -> bool:
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, dict):
        return any(map(_holds_nan, cast("Any", value).values()))
    if isinstance(value, (list, tuple)):
        return any(map(_holds_nan, cast("Any", value)))
    return False


def _refusal(key: str, because: str, try_: str) -> SdkError:
    return SdkError(cannot=f"store a document under {key!r}", because=because, try_=try_)
