"""`assets`: static files under names that carry their content's hash, kept for a year by browsers.

It serves only files below its folder, and never a name that could lead out of it.
"""

from __future__ import annotations

import asyncio
import difflib
import hashlib
import json
import mimetypes
import re
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from millions.errors import MachineError, UnavailableError
from millions.sdk import answers
from millions.sdk.assets_built import HASH_DIGITS, MANIFEST, build
from millions.sdk.requests import header

if TYPE_CHECKING:
    from millions.directory import Directory

__all__ = ["Assets", "build"]

PATH = "/assets/"
"""Below this they are served here, also when `base_url` names edges: it is what edges ask."""

FOREVER = b"public, max-age=31536000, immutable"
ASK_AGAIN = b"no-cache"
"""For names without a hash: may be kept, must be asked for again."""

MEMORY_BYTES = 32 * 1024 * 1024
"""Bound on assets kept in memory; the least recently used leave first."""

IN_MEMORY_BYTES = 2 * 1024 * 1024
"""Larger files are read in pieces each time."""

CHUNK_BYTES = 256 * 1024

_NAME = re.compile(
    r"(?!.*\.\.)[A-Za-z0-9_@][A-Za-z0-9_@.+~-]*(/[A-Za-z0-9_@][A-Za-z0-9_@.+~-]*)*\Z"
)
_HASHED = re.compile(rf".*-[0-9a-f]{{{HASH_DIGITS}}}(\.[A-Za-z0-9]+)?\Z")

ENCODINGS = ((b"br", ".br"), (b"gzip", ".gz"))
"""What precompressed copies exist, best first."""


_Wanted = tuple[str, bool, tuple[str, ...]]
"""A name, whether it may be kept for ever, and the endings of compressed copies to look for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Loaded:
    """One asset, ready to be sent; `body` is None when it is read in pieces."""

    path: Path
    size: int
    body: bytes | None
    headers: tuple[tuple[bytes, bytes], ...]
    etag: bytes


class Assets:
    """The noun `assets`. Made without I/O; usable between `open` and `close`."""

    def __init__(self) -> None:
        self.base_url = PATH
        self._folder: Path | None = None
        self._manifest: dict[str, str] | None = None
        self._memory: OrderedDict[_Wanted, _Loaded] = OrderedDict()
        self._memory_bytes = 0

    async def open(self, directory: Directory) -> None:
        """Read the manifest of the directory's folder; without one, names stay as they are."""
        place = directory.assets
        self.base_url = place.base_url
        self._manifest = {}
        self._folder = None
        if place.folder:
            self._folder = await asyncio.to_thread(Path(place.folder).resolve)
            self._manifest = await asyncio.to_thread(_read_manifest, self._folder / MANIFEST)

    async def close(self) -> None:
        """Forget what was loaded."""
        self._folder = self._manifest = None
        self._memory.clear()
        self._memory_bytes = 0

    @property
    def served(self) -> bool:
        """Whether there is a folder of assets; without one, PATH is the application's own."""
        return self._folder is not None

    def url(self, name: str) -> str:
        """Answer the URL of asset `name` ("app.css"). Raise UnavailableError when there is none."""
        if self._manifest is None:
            raise UnavailableError(
                cannot="use assets",
                because="it is not open in this process",
                try_="wrap the application in Millions(app), or `async with nouns.running()`",
            )
        hashed = self._manifest.get(name)
        if hashed is None:
            if self._manifest:
                raise UnavailableError(
                    cannot=f"give the URL of asset {name!r}",
                    because=f"the static folder holds no such file ({len(self._manifest)} others)",
                    try_=", ".join(difflib.get_close_matches(name, self._manifest)) or "add it",
                )
            hashed = name
        return self.base_url + hashed

    async def serve(self, scope: Any, send: Any) -> None:
        """Answer one request below PATH."""
        if scope["method"] not in {"GET", "HEAD"}:
            await answers.text(send, 405, "GET or HEAD only\n", [(b"allow", b"GET, HEAD")])
            return
        name = scope["path"][len(PATH) :]
        loaded = await self._load(name, header(scope, b"accept-encoding") or b"")
        if loaded is None:
            await answers.text(send, 404, "there is no such asset\n")
            return
        if answers.matches(header(scope, b"if-none-match"), loaded.etag):
            await answers.empty(send, 304, list(loaded.headers))
            return
        size = (b"content-length", str(loaded.size).encode())
        headers = [*loaded.headers, size]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        if scope["method"] == "HEAD":
            await send({"type": "http.response.body", "body": b""})
        elif loaded.body is not None:
            await send({"type": "http.response.body", "body": loaded.body})
        else:
            await _send_pieces(loaded, send)

    async def _load(self, name: str, accepted: bytes) -> _Loaded | None:
        """Find `name`, compressed as the client accepts it; None when there is no such asset."""
        if self._folder is None or not _NAME.match(name):
            return None
        if self._manifest and name in self._manifest and not _HASHED.match(name):
            name = self._manifest[name]
            lasting = False
        else:
            lasting = _HASHED.match(name) is not None
        endings = tuple(end for coding, end in ENCODINGS if _accepts(accepted, coding))
        key = (name, lasting, endings)
        loaded = self._memory.get(key)
        if loaded is not None:
            self._memory.move_to_end(key)
            return loaded
        for ending in (*endings, ""):
            loaded = await asyncio.to_thread(_read, self._folder, name, (ending, lasting))
            if loaded is not None:
                self._remember(key, loaded)
                return loaded
        return None

    def _remember(self, key: _Wanted, loaded: _Loaded) -> None:
        if loaded.body is None or key in self._memory:
            return
        self._memory[key] = loaded
        self._memory_bytes += loaded.size
        while self._memory_bytes > MEMORY_BYTES:
            _, oldest = self._memory.popitem(last=False)
            self._memory_bytes -= oldest.size


def _read_manifest(path: Path) -> dict[str, str]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise MachineError(
            cannot=f"read the manifest of assets {path}",
            because=str(error),
            try_="millions deploy, which builds the assets anew",
        ) from error
    return cast("dict[str, str]", found)


def _read(folder: Path, name: str, variant: tuple[str, bool]) -> _Loaded | None:
    """Read one file below `folder`. None when it is not there, or a link leads out."""
    ending, lasting = variant
    path = (folder / (name + ending)).resolve()
    if not path.is_relative_to(folder) or not path.is_file():
        return None
    size = path.stat().st_size
    body = path.read_bytes() if size <= IN_MEMORY_BYTES else None
    stamp = body if body is not None else f"{size} {path.stat().st_mtime_ns}".encode()
    etag = f'"{hashlib.sha256(stamp).hexdigest()[:16]}"'.encode()
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    if kind.startswith("text/") or kind in {"application/javascript", "image/svg+xml"}:
        kind += "; charset=utf-8"
    headers = [
        (b"content-type", kind.encode()),
        (b"cache-control", FOREVER if lasting else ASK_AGAIN),
        (b"vary", b"accept-encoding"),
        (b"etag", etag),
        answers.NOSNIFF,
    ]
    if ending:
        coding = next(coding for coding, each in ENCODINGS if each == ending)
        headers.append((b"content-encoding", coding))
    return _Loaded(path=path, size=size, body=body, headers=tuple(headers), etag=etag)


def _accepts(accepted: bytes, coding: bytes) -> bool:
    """Whether an Accept-Encoding takes `coding`, with a weight other than 0."""
    for each in accepted.split(b","):
        name, _, weight = each.strip().partition(b";")
        if name.strip().lower() == coding:
            return weight.replace(b" ", b"") not in {b"q=0", b"q=0.0", b"q=0.00", b"q=0.000"}
    return False


async def _send_pieces(loaded: _Loaded, send: Any) -> None:
    file = await asyncio.to_thread(loaded.path.open, "rb")
    try:
        left = loaded.size
        while left and (chunk := await asyncio.to_thread(file.read, min(CHUNK_BYTES, left))):
            left -= len(chunk)
            await send({"type": "http.response.body", "body": chunk, "more_body": bool(left)})
    finally:
        await asyncio.to_thread(file.close)
