"""Whole answers of our own: short texts for refusals and probes, and the words for HTTP's rules.

It never passes a value on into a header without checking it, and decides nothing.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

from millions.errors import MillionsError, SdkError

Headers = list[tuple[bytes, bytes]]

TEXT: Final = b"text/plain; charset=utf-8"

NO_STORE: Final = (b"cache-control", b"no-store")
NOSNIFF: Final = (b"x-content-type-options", b"nosniff")


async def text(send: Any, status: int, words: str, headers: Headers | None = None) -> None:
    """Answer with a short text that no cache keeps."""
    body = words.encode()
    all_headers = [
        (b"content-type", TEXT),
        (b"content-length", str(len(body)).encode()),
        NO_STORE,
        NOSNIFF,
        *(headers or ()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": all_headers})
    await send({"type": "http.response.body", "body": body})


def words_of(error: MillionsError) -> str:
    """Say an error to a client: its three lines, without anything else."""
    return f"{error}\n"


async def empty(send: Any, status: int, headers: Headers) -> None:
    """Answer with headers alone."""
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


def checked_value(value: str, *, what: str) -> bytes:
    """Answer `value` as a header's value. Raise SdkError when it could begin another header."""
    if any(ord(each) < 0x20 or ord(each) == 0x7F for each in value):  # noqa: PLR2004  # ASCII control characters
        raise SdkError(
            cannot=f"put {what} into a header",
            because=f"{value[:60]!r} holds a control character",
            try_="remove line ends and control characters first",
        )
    return value.encode("latin-1", "replace")


def disposition(kind: str, name: str) -> bytes:
    """Answer a Content-Disposition for a file called `name` (RFC 6266, RFC 8187)."""
    plain = "".join(
        each if (each.isalnum() and each.isascii()) or each in "._-" else "_" for each in name
    )
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}".encode("ascii")


def matches(if_none_match: bytes | None, etag: bytes) -> bool:
    """Whether an If-None-Match names `etag` (weak comparison, RFC 9110 13.1.2)."""
    if if_none_match is None:
        return False
    if if_none_match.strip() == b"*":
        return True
    return etag in {each.strip().removeprefix(b"W/") for each in if_none_match.split(b",")}


def byte_range(value: bytes | None, size: int) -> tuple[int, int] | None:
    """Read a Range header of one range: (start, end) with `end` exclusive.

    None means "the whole" (no header, several ranges, another unit). Raise ValueError when the
    range lies outside, which is answered with 416.
    """
    if value is None or not value.startswith(b"bytes=") or b"," in value:
        return None
    first, dash, last = value[6:].strip().partition(b"-")
    if not dash or (first and not first.isdigit()) or (last and not last.isdigit()):
        return None
    if not first:
        if not last:
            return None
        length = int(last)
        if length == 0 or size == 0:
            raise ValueError("no such range")
        return max(0, size - length), size
    start = int(first)
    end = min(size, int(last) + 1) if last else size
    if last and int(last) < start:
        return None
    if start >= size:
        raise ValueError("no such range")
    return start, end
