"""Where a key stands in a TOML text: its line number. Never parses values; tomllib does that."""

from __future__ import annotations

import re

HEADER = re.compile(r"^\s*\[\s*([^\[\]]+?)\s*\]\s*(#.*)?$")
KEY = re.compile(r"""^\s*(?:"([^"]+)"|'([^']+)'|([A-Za-z0-9_.\-]+))\s*=""")


def line_of(text: str, path: tuple[str, ...]) -> int | None:
    """Answer the line (from 1) where `path` stands, or the nearest of its parents; None if none.

    Reads headers and keys line by line. A key inside an inline table is found at its parent.
    """
    lines = _lines(text)
    for length in range(len(path), 0, -1):
        found = lines.get(path[:length])
        if found is not None:
            return found
    return None


def _lines(text: str) -> dict[tuple[str, ...], int]:
    table: tuple[str, ...] = ()
    found: dict[tuple[str, ...], int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        header = HEADER.match(line)
        if header:
            table = tuple(part.strip().strip("\"'") for part in header[1].split("."))
            found.setdefault(table, number)
            continue
        key = KEY.match(line)
        if key:
            quoted = key[1] or key[2]
            parts = (quoted,) if quoted else tuple(key[3].split("."))
            found.setdefault(table + parts, number)
    return found
