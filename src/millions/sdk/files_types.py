"""What a file is: told by its first bytes, compared with what was claimed and what is accepted.

It never trusts a name's ending or a client's header alone.
"""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

import filetype  # type: ignore[import-untyped] # pyright: ignore[reportMissingTypeStubs]

from millions.errors import FileRefusedError
from millions.sdk import requests

if TYPE_CHECKING:
    from collections.abc import Iterable

HEAD_BYTES = 8192
"""What `filetype` looks at, at most (262 bytes for most types, more for office documents)."""

UNKNOWN = "application/octet-stream"
PLAIN = "text/plain"

INLINE = frozenset(
    {
        *("image/jpeg", "image/png", "image/webp", "image/gif", "image/avif", "image/bmp"),
        *("video/mp4", "video/webm", "audio/mpeg", "audio/ogg", "audio/wav", "audio/x-wav"),
        *("application/pdf", "text/plain"),
    }
)
"""Types that a browser may show. Everything else is offered for download: HTML and SVG would run
scripts in the application's own name."""


class RefusedError(FileRefusedError):
    """A file that is not taken or not there; `status` is what HTTP calls it.

    An application that lets it pass answers with that status and the error's words.
    """

    def __init__(self, status: int, *, cannot: str, because: str, try_: str) -> None:
        super().__init__(cannot=cannot, because=because, try_=try_)
        self.status = status
        request = requests.current()
        if request is not None:
            request.refusal = self


def sniff(head: bytes) -> str | None:
    """Answer the content type that the first bytes prove, or None."""
    mime: str | None = filetype.guess_mime(head)  # pyright: ignore[reportUnknownMemberType]
    return mime


def decide(head: bytes, *, claimed: str | None, accept: Iterable[str] | None, name: str) -> str:
    """Answer the content type of a file that begins with `head`. Raise RefusedError."""
    if not head:
        raise RefusedError(
            400, cannot=f"store {name}", because="it is empty", try_="send the file's content"
        )
    proven = sniff(head)
    found = proven or _textual(head, claimed) or UNKNOWN
    if accept is not None:
        accepted = tuple(accept)
        if not any(_covers(each, found) for each in accepted):
            raise RefusedError(
                415,
                cannot=f"store {name}",
                because=f"its content is {_shown(found)}",
                try_=f"one of {', '.join(accepted)}",
            )
    elif claimed is not None and proven is not None and not _same(claimed, proven):
        raise RefusedError(
            415,
            cannot=f"store {name} as {claimed[:80]!r}",
            because=f"its content is {proven}",
            try_=f"content_type={proven!r}, or leave it out",
        )
    return found


def _textual(head: bytes, claimed: str | None) -> str | None:
    """Answer a text type for bytes that no magic number explains but that are text."""
    if b"\0" in head:
        return None
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head, final=False)
    except UnicodeDecodeError:
        return None
    if claimed is None:
        return PLAIN
    kind = _bare(claimed)
    textual = kind.startswith("text/") or kind.endswith(("json", "+xml", "/xml", "javascript"))
    return kind if textual else PLAIN


def _bare(kind: str) -> str:
    """Strip parameters and anything that could not stand in a header."""
    bare = kind.partition(";")[0].strip().lower()
    good = bare.count("/") == 1 and all(
        each.isascii() and (each.isalnum() or each in "/+-._") for each in bare
    )
    return bare if good else UNKNOWN


def _covers(accepted: str, kind: str) -> bool:
    return accepted == kind or (accepted.endswith("/*") and kind.startswith(accepted[:-1]))


def _same(claimed: str, proven: str) -> bool:
    return _bare(claimed) in {proven, UNKNOWN}


def _shown(kind: str) -> str:
    return "of no known type" if kind == UNKNOWN else kind
