"""Builds static assets: names that carry the hash of their content, and compressed copies.

It adds files to the target and removes none, so that pages of an older release find theirs.
`url(...)` and `@import` inside style sheets are rewritten to the hashed names.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
from pathlib import Path, PurePosixPath
from typing import Any, cast

import brotli  # type: ignore[import-untyped] # pyright: ignore[reportMissingTypeStubs]

from millions.errors import MachineError

MANIFEST = "manifest.json"
"""Maps each source name to its hashed name."""

HASH_DIGITS = 12

COMPRESSED = frozenset(
    {
        *(".css", ".csv", ".html", ".ico", ".js", ".json", ".map", ".md", ".mjs", ".svg"),
        *(".ttf", ".txt", ".wasm", ".webmanifest", ".xml"),
    }
)
"""Endings whose files shrink; pictures and fonts in woff2 are compressed already."""

WORTHWHILE_BYTES = 256
"""Smaller files fit one packet anyway."""

BROTLI_QUALITY = 9
"""11 saves about 3 % more and takes ten times as long."""

_REFERENCE = re.compile(
    rb"""(?P<before>url\(\s*["']?|@import\s+["'])(?P<name>[^"')\s?#:]+)(?P<rest>[^"')\s]*)"""
)


def build(source: Path, target: Path) -> dict[str, str]:
    """Build all files below `source` into `target`; answer and write the manifest. Blocking.

    Unchanged files are not written again. Raise MachineError when reading or writing fails.
    """
    try:
        return _Build(source, target).run()
    except OSError as error:
        raise MachineError(
            cannot=f"build the assets of {source} into {target}",
            because=error.strerror or str(error),
            try_=f"ls -ld {error.filename or source}",
        ) from error


class _Build:
    def __init__(self, source: Path, target: Path) -> None:
        self._source = source
        self._target = target
        self._names = {
            path.relative_to(source).as_posix(): path
            for path in sorted(source.rglob("*"))
            if path.is_file() and not _hidden(path.relative_to(source))
        }
        self._manifest: dict[str, str] = {}
        self._under_way: set[str] = set()

    def run(self) -> dict[str, str]:
        for name in self._names:
            self._built(name)
        manifest = dict(sorted(self._manifest.items()))
        self._write(MANIFEST, json.dumps(manifest, indent=1).encode(), replace=True)
        return manifest

    def _built(self, name: str) -> str:
        """Build one file (what it refers to comes first); answer its hashed name."""
        if name in self._manifest:
            return self._manifest[name]
        content = self._names[name].read_bytes()
        if name.endswith(".css"):
            self._under_way.add(name)
            content = _REFERENCE.sub(lambda found: self._reference(name, found), content)
            self._under_way.discard(name)
        path = PurePosixPath(name)
        digest = hashlib.sha256(content).hexdigest()[:HASH_DIGITS]
        hashed = path.with_name(f"{path.stem}-{digest}{path.suffix}").as_posix()
        self._manifest[name] = hashed
        self._write(hashed, content)
        if path.suffix in COMPRESSED and len(content) >= WORTHWHILE_BYTES:
            self._write(f"{hashed}.br", _brotli(content))
            self._write(f"{hashed}.gz", gzip.compress(content, compresslevel=9, mtime=0))
        return hashed

    def _reference(self, name: str, found: re.Match[bytes]) -> bytes:
        """Rewrite one reference of style sheet `name`, when it names a file that we build."""
        meant = os.path.normpath(f"{PurePosixPath(name).parent}/{found['name'].decode()}")
        if meant not in self._names or meant in self._under_way:
            return found[0]
        hashed = PurePosixPath(self._built(meant)).name.encode()
        folder = found["name"].rpartition(b"/")
        return found["before"] + folder[0] + folder[1] + hashed + found["rest"]

    def _write(self, name: str, content: bytes, *, replace: bool = False) -> None:
        path = self._target / name
        if not replace and path.exists() and path.stat().st_size == len(content):
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.{os.getpid()}")
        fresh.write_bytes(content)
        fresh.replace(path)


def _brotli(content: bytes) -> bytes:
    small: bytes = cast("Any", brotli).compress(content, quality=BROTLI_QUALITY)
    return small


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts) or path.name == MANIFEST
