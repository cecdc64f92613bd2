"""The log of one unit: what its processes write, copied line by line into bounded JSON lines.

A unit's output goes straight into a raw file that outlives the supervisor. Complete lines are
copied to `current.jsonl`, each with the number of the start and the offset at which its line ends,
in one write; so a supervisor that comes after continues exactly there. Bytes that were copied are
given back to the disk. Never blocks a unit, never keeps more than the limit.

Source: fallocate(2), FALLOC_FL_PUNCH_HOLE.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from pathlib import Path

CURRENT = "current.jsonl"
RAW = "raw-"
"""Before the number of the start, in the name of the file that it writes to."""

SEGMENTS = 4
"""A log is kept in so many files; the oldest one is dropped when a new one begins."""

CHUNK_BYTES = 256 * 1024
"""Copied at a time: about 10 ms of work, so that the supervisor stays quick."""

LINE_BYTES_MAX = 64 * 1024
"""A longer line is cut in pieces."""

PUNCH_BYTES = 1024 * 1024
"""Copied bytes are given back to the disk in pieces of this size."""

TAIL_BYTES = 128 * 1024
"""How far back the last lines of a process are looked for."""

_POSITION = re.compile(rb'"raw":"(\d+):(\d+)"\}\n')
_WORST = (
    ("error", re.compile(r"\b(FATAL|PANIC|CRITICAL|ERROR|Traceback|[A-Z]\w+Error\b:)")),
    ("warning", re.compile(r"\b(WARN|WARNING)\b")),
    ("debug", re.compile(r"\b(DEBUG|TRACE)\b")),
)


@dataclass(slots=True, kw_only=True)
class _Source:
    """A raw file that is being copied, up to `offset`; it is empty on disk below `punched`."""

    descriptor: int
    offset: int = 0
    punched: int = 0


class Collector:
    """The log folder of one unit. Not for two processes at a time."""

    def __init__(self, folder: Path, unit: str, *, limit_bytes: int) -> None:
        self._folder = folder
        self._unit = unit
        self.limit_bytes = limit_bytes
        self._sources: dict[int, _Source] = {}
        self.problem = ""
        offsets = self._resume()
        for path in folder.glob(f"{RAW}*"):
            number = number_of(path.name)
            self._follow(number, offsets.get(number, 0))

    def open_raw(self, number: int, event: str, *, revision: str, release: str) -> int:
        """Make the raw file of a start, and note its `event` as the start of it in the log.

        Returns a descriptor for the process to write to. A number may come again after the unit's
        record was lost: what is left of the former file is copied first.
        """
        self.finish(number)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
        descriptor = os.open(self._raw(number), flags, 0o600)
        self._follow(number, 0)
        self.note(event, start=number, release=release, revision=revision, raw=f"{number}:0")
        return descriptor

    def note(self, event: str, *, level: str = "info", **fields: str | int) -> None:
        """Write a record of our own about the unit."""
        record = {"time": _now(), "level": level, "unit": self._unit, "event": event, **fields}
        self._append(orjson.dumps(record) + b"\n")

    def collect(self) -> bool:
        """Copy at most a chunk of each raw file; True when there is more."""
        more = [self._copy(number, source) for number, source in self._sources.items()]
        return any(more)

    def finish(self, number: int) -> None:
        """Copy the rest of a process that has ended, also its last broken line; drop its file."""
        source = self._sources.get(number)
        if source is None:
            return
        while self._copy(number, source, ended=True):
            pass
        if source.offset < os.fstat(source.descriptor).st_size:
            return  # the disk is full: the rest stays where it is, for later
        del self._sources[number]
        os.close(source.descriptor)
        self._raw(number).unlink(missing_ok=True)

    def numbers(self) -> frozenset[int]:
        """The starts whose raw files are not copied to their end yet."""
        return frozenset(self._sources)

    def tail(self, number: int, lines: int) -> tuple[str, ...]:
        """The last lines that a start has written, as text."""
        mark = f'"raw":"{number}:'.encode()
        with suppress(OSError):
            found = [line for line in _last_bytes(self._folder / CURRENT) if mark in line]
            return tuple(str(orjson.loads(line).get("event", "")) for line in found[-lines:])
        return ()

    def close(self) -> None:
        """Close all files. What is not copied stays for the next collector."""
        for source in self._sources.values():
            os.close(source.descriptor)
        self._sources.clear()

    def _raw(self, number: int) -> Path:
        return self._folder / f"{RAW}{number}"

    def _follow(self, number: int, offset: int) -> None:
        descriptor = os.open(self._raw(number), os.O_RDWR | os.O_CLOEXEC)
        self._sources[number] = _Source(descriptor=descriptor, offset=offset)

    def _copy(self, number: int, source: _Source, *, ended: bool = False) -> bool:
        """Copy at most a chunk of one raw file; True when there is more of it."""
        size = os.fstat(source.descriptor).st_size
        if size <= source.offset:
            return False
        self._skip_excess(number, source, size)
        data = os.pread(source.descriptor, CHUNK_BYTES, source.offset)
        last_chunk = source.offset + len(data) >= size
        complete = _complete(data, ended=ended and last_chunk)
        if not complete or not self._append(self._records(number, source.offset, complete)):
            return False
        source.offset += len(complete)
        self._give_back(source)
        return source.offset < size and (ended or not last_chunk)

    def _records(self, number: int, offset: int, data: bytes) -> bytes:
        now = _now()
        records: list[bytes] = []
        for line in data.splitlines(keepends=True) if b"\r" not in data else _lines(data):
            offset += len(line)
            text = line.rstrip(b"\r\n")
            if text:
                records.append(_record(text, self._unit, now, raw=f"{number}:{offset}"))
        return b"".join(records)

    def _skip_excess(self, number: int, source: _Source, size: int) -> None:
        """Bound what waits to be copied: a unit may write faster than we copy."""
        waiting = size - source.offset
        if waiting <= self.limit_bytes:
            return
        start = size - self.limit_bytes // SEGMENTS
        skipped = start - source.offset
        source.offset = start
        self.note(
            f"{skipped} bytes of output were dropped: more than the log may hold",
            level="warning",
            raw=f"{number}:{start}",
        )
        self._give_back(source)

    def _give_back(self, source: _Source) -> None:
        end = source.offset - source.offset % PUNCH_BYTES
        if end > source.punched:
            _punch_hole(source.descriptor, source.punched, end - source.punched)
            source.punched = end

    def _append(self, data: bytes) -> bool:
        """Append whole records to the current segment; False and nothing written on a full disk."""
        if not data:
            return True
        path = self._folder / CURRENT
        try:
            if self._size(path) + len(data) > self.limit_bytes // SEGMENTS:
                self._rotate()
            _write_whole(path, data)
        except OSError as error:
            self.problem = f"cannot write {path}: {error.strerror or error}"
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                self._drop_oldest()
            return False
        self.problem = ""
        return True

    def _size(self, path: Path) -> int:
        try:
            return path.stat().st_size
        except FileNotFoundError:
            return 0

    def _rotate(self) -> None:
        """Begin a new segment, whose first record says how far each raw file was copied."""
        segments = self._segments()
        current = self._folder / CURRENT
        if not current.exists():
            return
        last = int(segments[-1].name.split("-")[1].split(".")[0]) if segments else 0
        current.rename(self._folder / f"segment-{last + 1:06d}.jsonl")
        offsets = {str(number): source.offset for number, source in self._sources.items()}
        header = {"time": _now(), "level": "debug", "unit": self._unit, "event": "log rotated"}
        _write_whole(current, orjson.dumps({**header, "offsets": offsets}) + b"\n")
        for path in self._segments()[: -(SEGMENTS - 1)]:
            path.unlink(missing_ok=True)

    def _drop_oldest(self) -> None:
        segments = self._segments()
        if segments:
            segments[0].unlink(missing_ok=True)

    def _segments(self) -> list[Path]:
        return sorted(self._folder.glob("segment-*.jsonl"))

    def _resume(self) -> dict[int, int]:
        """How far each raw file was copied, by what the newest segments say. Mends a torn end."""
        for path in [self._folder / CURRENT, *reversed(self._segments())]:
            if not path.exists():
                continue
            data = path.read_bytes()
            whole = data.rfind(b"\n") + 1
            if whole < len(data):
                os.truncate(path, whole)
            if whole == 0:
                continue
            offsets = _header_offsets(data)
            for match in _POSITION.finditer(data[:whole]):
                offsets[int(match[1])] = int(match[2])
            return offsets
        return {}


def number_of(path: str) -> int:
    """The number of the start that writes to this file; 0 when it is none of a log."""
    found = re.search(rf"{RAW}(\d+)$", path)
    return int(found[1]) if found else 0


def _record(line: bytes, unit: str, now: str, *, raw: str) -> bytes:
    """The record for a line, as JSON; as text where it is nested deeper than can be written."""
    try:
        record = orjson.dumps({**_parsed(line, unit, now), "raw": raw})
    except TypeError:
        record = orjson.dumps({**_as_text(line, unit, now), "raw": raw})
    return record + b"\n"


def _parsed(line: bytes, unit: str, now: str) -> dict[str, Any]:
    """The record for a line: its own fields when it is a JSON object, else the line as event."""
    if line.startswith(b"{"):
        with suppress(orjson.JSONDecodeError):
            fields: Any = orjson.loads(line)
            if type(fields) is dict:
                found: dict[str, Any] = {"time": now, "level": "info", "event": ""}
                found.update(fields)  # pyright: ignore[reportUnknownArgumentType]  # JSON
                found.pop("raw", None)
                return {**found, "unit": unit}
    return _as_text(line, unit, now)


def _as_text(line: bytes, unit: str, now: str) -> dict[str, Any]:
    text = line.decode("utf-8", errors="replace")
    return {"time": now, "level": _level(text), "unit": unit, "event": text}


def _level(text: str) -> str:
    for level, words in _WORST:
        if words.search(text):
            return level
    return "info"


def _lines(data: bytes) -> list[bytes]:
    """Split at line feeds only (bytes.splitlines splits at lone carriage returns too)."""
    return [part + b"\n" for part in data.split(b"\n")[:-1]] + [
        rest for rest in (data.rpartition(b"\n")[2],) if rest
    ]


def _complete(data: bytes, *, ended: bool) -> bytes:
    """The part of `data` that can be copied now: whole lines, or a line that is too long."""
    if ended:
        return data
    end = data.rfind(b"\n") + 1
    if end == 0 and len(data) >= LINE_BYTES_MAX:
        return data[:LINE_BYTES_MAX]
    return data[:end]


def _header_offsets(data: bytes) -> dict[int, int]:
    with suppress(ValueError, AttributeError):
        first = orjson.loads(data[: data.index(b"\n")])
        return {int(number): int(at) for number, at in first.get("offsets", {}).items()}
    return {}


def _write_whole(path: Path, data: bytes) -> None:
    """Append all of `data`, or nothing and raise OSError when there is no room for all of it."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        before = os.fstat(descriptor).st_size
        if os.write(descriptor, data) < len(data):
            os.ftruncate(descriptor, before)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    finally:
        os.close(descriptor)


def _last_bytes(path: Path) -> list[bytes]:
    """The whole lines at the end of a file."""
    with path.open("rb") as file:
        start = max(0, path.stat().st_size - TAIL_BYTES)
        file.seek(start)
        lines = file.read().split(b"\n")
    return lines[1 if start else 0 : -1]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


_LIBC = ctypes.CDLL(None, use_errno=True)
_PUNCH_AND_KEEP_SIZE = 0x02 | 0x01


def _punch_hole(descriptor: int, offset: int, length: int) -> None:
    """Free the disk below a part of a file. Where that is not supported the bytes stay."""
    _LIBC.fallocate(
        descriptor, _PUNCH_AND_KEEP_SIZE, ctypes.c_longlong(offset), ctypes.c_longlong(length)
    )
