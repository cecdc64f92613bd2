"""Answers requests below /files/: whoever has a signed URL gets the file, whole or in ranges.

It never lists, never shows what could run scripts, and says the same (404) of a file that is not
there and of one whose URL is not signed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from millions.errors import FileRefusedError, SignatureError
from millions.sdk import answers, nouns
from millions.sdk.files import BASE_URL, Files
from millions.sdk.files_types import INLINE
from millions.sdk.requests import header

if TYPE_CHECKING:
    from millions.sdk.files import FileReader
    from millions.sdk.files_place import StoredFile

MISSING = "there is no file at this URL, or the URL has expired\n"

SANDBOX = (b"content-security-policy", b"default-src 'none'; sandbox")
"""Should a browser show a file as a document after all, it may do nothing."""


AT_EDGES_S = 60
"""Edges keep a file so long at most, also one that was not reached when it was deleted."""


async def serve(files: Files, scope: Any, send: Any) -> None:
    """Answer one request whose path begins with BASE_URL."""
    if scope["method"] not in {"GET", "HEAD"}:
        await answers.text(send, 405, "GET or HEAD only\n", [(b"allow", b"GET, HEAD")])
        return
    name = scope["path"][len(BASE_URL) :]
    query = parse_qs(scope["query_string"].decode("latin-1"), max_num_fields=16)
    try:
        left_s = files.allowed(name, query.get("key", [""])[0])
        reader = await files.get(name)
    except (SignatureError, FileRefusedError, ValueError):
        await answers.text(send, 404, MISSING)
        return
    kept = _kept(reader.about, left_s, query.get("v", [""])[0])
    await _give(reader, kept, scope, send)


def _kept(about: StoredFile, left_s: int, version: str) -> answers.Headers:
    """How long browsers and edges may keep it.

    The version is not signed: what is asked for as another version than it is, be it because it was
    replaced or because somebody changed the URL, is kept by nobody under that name.
    """
    browsers, edges = f"max-age={left_s}", f"max-age={min(left_s, AT_EDGES_S)}, must-revalidate"
    if version == about.etag:
        browsers += ", immutable"
    elif version:
        browsers, edges = "no-cache", "no-store"
    kept = [(b"cache-control", f"private, {browsers}".encode())]
    if nouns.edge.present:
        kept.append((b"cdn-cache-control", edges.encode()))
    return kept


async def _give(reader: FileReader, kept: answers.Headers, scope: Any, send: Any) -> None:
    about = reader.about
    etag = f'"{about.etag}"'.encode()
    shared = [
        (b"etag", etag),
        *kept,
        (b"accept-ranges", b"bytes"),
        answers.NOSNIFF,
        SANDBOX,
    ]
    if answers.matches(header(scope, b"if-none-match"), etag):
        await answers.empty(send, 304, shared)
        return
    wanted = header(scope, b"range")
    condition = header(scope, b"if-range")
    try:
        span = answers.byte_range(wanted if condition in {None, etag} else None, about.size)
    except ValueError:
        beyond = (b"content-range", f"bytes */{about.size}".encode())
        await answers.text(send, 416, f"the file has {about.size} bytes\n", [beyond])
        return
    status = 200 if span is None else 206
    start, end = span or (0, about.size)
    headers = [*shared, *_described(about), (b"content-length", str(end - start).encode())]
    if span is not None:
        headers.append((b"content-range", f"bytes {start}-{end - 1}/{about.size}".encode()))
    if scope["method"] == "HEAD":
        await answers.empty(send, status, headers)
        return
    await _stream(reader.part((start, end)), status, headers, send)


def _described(about: StoredFile) -> answers.Headers:
    kind = "inline" if about.content_type in INLINE else "attachment"
    name = about.name.rpartition("/")[2]
    described = about.content_type
    if described.startswith("text/"):
        described += "; charset=utf-8"
    return [
        (b"content-type", answers.checked_value(described, what="a content type")),
        (b"content-disposition", answers.disposition(kind, name)),
    ]


async def _stream(reader: FileReader, status: int, headers: answers.Headers, send: Any) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    async for chunk in reader:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
