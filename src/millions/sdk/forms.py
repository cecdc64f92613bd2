"""Forms: finds one short field at the start of a form's body while the body arrives.

It looks at the first 64 KiB only and keeps every message for the application, which reads the body
as if nobody had. It never parses a whole form.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]

SEARCHED_BYTES_MAX = 64 << 10
"""A field that stands behind more than this (behind an uploaded file) is not found."""

MESSAGES_MAX = 4096
"""Messages kept while searching: a body that arrives byte by byte is not worth more."""

VALUE_BYTES_MAX = 1024
PARTS_MAX = 64

_BOUNDARY = re.compile(rb';\s*boundary=(?:"([^"]{1,70})"|([^\s;,"]{1,70}))', re.IGNORECASE)
_NAME = re.compile(rb';\s*name=(?:"([^"]*)"|([^\s;"]+))', re.IGNORECASE)


async def found_field(
    receive: Receive, content_type: bytes, field: str
) -> tuple[str | None, Receive]:
    """The value of `field`, and a `receive` that gives the application the whole body."""
    kept: list[Message] = []
    buffer = bytearray()
    value: str | None = None
    look_again_at = 0
    while len(kept) < MESSAGES_MAX:
        message = await receive()
        kept.append(message)
        whole = message["type"] != "http.request" or not message.get("more_body", False)
        buffer += message.get("body", b"")[: SEARCHED_BYTES_MAX - len(buffer)]
        full = whole or len(buffer) >= SEARCHED_BYTES_MAX
        if full or len(buffer) >= look_again_at:  # at double the size: small pieces stay cheap
            value = field_in(bytes(buffer), content_type, field, whole=whole)
            look_again_at = 2 * len(buffer)
        if value is not None or full:
            break
    return value, _replayed(kept, receive)


def field_in(body: bytes, content_type: bytes, field: str, *, whole: bool) -> str | None:
    """The value of `field` in the start of a body; `whole` when nothing follows."""
    kind = content_type.partition(b";")[0].strip().lower()
    if kind == b"multipart/form-data":
        value = _in_multipart(body, content_type, field.encode())
    else:
        value = _in_pairs(body, field.encode(), whole=whole)
    if value is None or len(value) > VALUE_BYTES_MAX:
        return None
    return value.decode("utf-8", "replace")


def field_in_query(query: bytes, field: str) -> str | None:
    """The value of `field` in a query string."""
    return field_in(query, b"", field, whole=True)


def _in_pairs(body: bytes, field: bytes, *, whole: bool) -> bytes | None:
    start = field + b"="
    at = 0 if body.startswith(start) else body.find(b"&" + start) + 1
    if at == 0 and not body.startswith(start):
        return None
    end = body.find(b"&", at)
    if end < 0 and not whole:
        return None  # the rest of the value may still be under way
    value = body[at + len(start) : end if end >= 0 else None]
    return unquote_to_bytes(value.replace(b"+", b" "))


def _in_multipart(body: bytes, content_type: bytes, field: bytes) -> bytes | None:
    match = _BOUNDARY.search(content_type)
    if match is None:
        return None
    delimiter = b"\r\n--" + (match[1] or match[2])
    parts = (b"\r\n" + body).split(delimiter, PARTS_MAX)
    for part in parts[1:-1]:  # the first is a preamble, the last one may not be whole
        head, blank, value = part.partition(b"\r\n\r\n")
        if blank and _part_name(head) == field:
            return value
    return None


def _part_name(head: bytes) -> bytes | None:
    """The name of a part, read from its headers."""
    for line in head.split(b"\r\n"):
        name, _, rest = line.partition(b":")
        if name.strip().lower() == b"content-disposition":
            match = _NAME.search(rest)
            return (match[1] if match[1] is not None else match[2]) if match else None
    return None


def _replayed(kept: list[Message], receive: Receive) -> Receive:
    """A `receive` that gives what was kept, then what comes."""
    waiting = iter(kept)

    async def replay() -> Message:
        for message in waiting:
            return message
        return await receive()

    return replay
