"""Reading logs: the JSON lines of all units, merged by time, once or for as long as they come.

Never writes, and needs no supervisor: what it has not copied yet is not shown.
"""

from __future__ import annotations

import heapq
import re
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson

from millions.runtime.collect import CURRENT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from millions.runtime.state import StateFolder

LEVELS = ("debug", "info", "warning", "error", "critical")
"""From the least to the worst."""

FOLLOW_S = 0.2
"""Between two looks for new lines."""

SUPERVISOR = "supervisor"
"""The name under which the supervisor's own log is shown."""

_NAMES = {"warn": "warning", "fatal": "critical", "trace": "debug", "notice": "info"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One line: `time_s` in unix seconds, `line` as it stands in the file."""

    time_s: float
    unit: str
    level: str
    event: str
    fields: tuple[tuple[str, Any], ...] = ()
    line: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which records are wanted: from `since_s` on, of `level` or worse, matching `grep`."""

    since_s: float | None = None
    level: str | None = None
    grep: re.Pattern[str] | None = None

    def takes(self, record: Record) -> bool:
        """Whether `record` is wanted."""
        if self.since_s is not None and record.time_s < self.since_s:
            return False
        if self.level is not None and severity(record.level) < severity(self.level):
            return False
        return self.grep is None or self.grep.search(record.line) is not None


@dataclass(slots=True, kw_only=True)
class _Tail:
    """A log that is followed: how far `current.jsonl` (this inode of it) was read."""

    unit: str
    path: Path
    inode: int = 0
    offset: int = 0
    rest: bytes = field(default=b"")


def records(
    state: StateFolder,
    unit: str | None = None,
    *,
    since: float | None = None,
    level: str | None = None,
    grep: str | None = None,
    follow: bool = False,
) -> Iterator[Record]:
    """Records of one unit or of all, oldest first; with `follow` it goes on for ever (blocking).

    `since` in unix seconds; `grep` is a regular expression (re.error when it is none).
    """
    wanted = Filter(since_s=since, level=level, grep=re.compile(grep) if grep else None)
    tails = _tails(state, unit)
    yield from _merged(tails, wanted)
    while follow:
        time.sleep(FOLLOW_S)
        known = {tail.unit for tail in tails}
        tails += [tail for tail in _tails(state, unit) if tail.unit not in known]
        fresh = [record for tail in tails for record in _fresh(tail)]
        fresh.sort(key=lambda record: record.time_s)
        yield from (record for record in fresh if wanted.takes(record))


def severity(level: str) -> int:
    """How bad a level is; one that is not known counts as info."""
    name = _NAMES.get(level.lower(), level.lower())
    return LEVELS.index(name) if name in LEVELS else 1


def _tails(state: StateFolder, unit: str | None) -> list[_Tail]:
    found: list[_Tail] = []
    if state.units.is_dir():
        found = [
            _Tail(unit=folder.name, path=folder / "log" / CURRENT)
            for folder in sorted(state.units.iterdir())
            if unit in (None, folder.name)
        ]
    if unit in (None, SUPERVISOR):
        found.append(_Tail(unit=SUPERVISOR, path=state.supervisor_log))
    return found


def _merged(tails: list[_Tail], wanted: Filter) -> Iterator[Record]:
    streams = [_history(tail, wanted) for tail in tails]
    yield from heapq.merge(*streams, key=lambda record: record.time_s)


def _history(tail: _Tail, wanted: Filter) -> Iterator[Record]:
    """All records of a log, from its oldest segment; leaves the tail at the end."""
    last_s = 0.0
    for path in sorted(tail.path.parent.glob("segment-*.jsonl")):
        if tail.path.name == CURRENT:
            try:
                data = path.read_bytes()
            except FileNotFoundError:  # it was dropped meanwhile
                continue
            for line in data.splitlines():
                record = _record(line, tail.unit, last_s)
                last_s = max(last_s, record.time_s)
                if wanted.takes(record):
                    yield record
    for record in _fresh(tail, last_s):
        if wanted.takes(record):
            yield record


def _fresh(tail: _Tail, last_s: float = 0.0) -> Iterator[Record]:
    """What a log has got since the last look."""
    try:
        with tail.path.open("rb") as file:
            found = file.fileno()
            status = _status(found)
            if status[0] != tail.inode:
                yield from _remainder(tail)
                tail.inode, tail.offset, tail.rest = status[0], 0, b""
            file.seek(tail.offset)
            data = tail.rest + file.read(max(0, status[1] - tail.offset))
            tail.offset = status[1]
    except FileNotFoundError:
        return
    whole, _, tail.rest = data.rpartition(b"\n")
    for line in whole.splitlines():
        record = _record(line, tail.unit, last_s)
        last_s = max(last_s, record.time_s)
        yield record


def _remainder(tail: _Tail) -> Iterator[Record]:
    """What was written before the current segment began, since the last look.

    The segment that was followed may be gone: then all that are left are newer than it.
    """
    if not tail.inode:
        return
    segments = [
        each for each in map(_opened, sorted(tail.path.parent.glob("segment-*.jsonl"))) if each
    ]
    inodes = [inode for inode, _ in segments]
    start = inodes.index(tail.inode) if tail.inode in inodes else 0
    for inode, data in segments[start:]:
        skip = tail.offset if inode == tail.inode else 0
        for line in (tail.rest * bool(skip) + data[skip:]).splitlines():
            yield _record(line, tail.unit, 0.0)


def _opened(path: Path) -> tuple[int, bytes] | None:
    """The inode and the content of a segment; None when it was dropped meanwhile."""
    try:
        with path.open("rb") as file:
            return _status(file.fileno())[0], file.read()
    except FileNotFoundError:
        return None


def _status(descriptor: int) -> tuple[int, int]:
    import os  # noqa: PLC0415  # one call

    status = os.fstat(descriptor)
    return status.st_ino, status.st_size


def _record(line: bytes, unit: str, last_s: float) -> Record:
    """A record from a line; a line without a time of its own takes that of the line before."""
    text = line.decode("utf-8", errors="replace")
    try:
        found: Any = orjson.loads(line)
    except orjson.JSONDecodeError:
        found = None
    if type(found) is not dict:
        return Record(time_s=last_s, unit=unit, level="info", event=text, line=text)
    known: dict[str, Any] = dict(found)  # pyright: ignore[reportUnknownArgumentType]  # JSON
    known.pop("raw", None)
    time_s = _time_s(known.pop("time", None))
    return Record(
        time_s=last_s if time_s is None else time_s,
        unit=str(known.pop("unit", unit)),
        level=str(known.pop("level", "info")),
        event=str(known.pop("event", "")),
        fields=tuple(known.items()),
        line=text,
    )


def _time_s(value: object) -> float | None:
    if isinstance(value, int | float):
        return float(value)
    try:
        found = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
