"""The history: everything that clients asked and were answered, and what was done to the servers.

A file of JSON lines in UTF-8, one object a line, in any order; times are seconds of one clock. It
never judges. Who uses nothing else of ours may write it by hand; docs/guides/drills.md says how.

    {"history": 1, "promises": ["G1", "G4"], "may_fail": "any", "drill": "kill-web"}
    {"at": 0.10, "done": 0.11, "user": "u1", "kind": "write", "key": "x", "value": 7,
     "outcome": "ok", "status": 200, "repeatable": true, "idempotency": "a1", "server": "web.1"}
    {"event": "kill", "id": "1", "aim": "web.1", "at": 5.0}
    {"event": "recovered", "ends": "1", "at": 5.9}

Source: Jepsen's histories of invocations and completions, joined into one line an operation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Self, cast

import orjson

from millions.errors import HistoryError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

FORMAT = 1
"""Version of the format; a newer one is refused."""

OUTCOMES = frozenset({"ok", "failed", "unknown"})
"""`failed`: it certainly did not happen. `unknown`: it may have happened, or may happen yet."""

LEVELS = frozenset({"linear", "session"})
"""What a read promises: the newest value of all, or only what its own user wrote and saw."""

MAY_FAIL = ("none", "unrepeatable", "in-flight", "any")
"""Which requests may fail: none; those in flight at a crash that may not be repeated; all those in
flight at a crash; any (failures are told, not judged)."""

CACHE_BEHIND_S = 2.0
"""How long a cache of ours may be behind a commit of another process; docs/limits.md says when."""

NUMBERS = (float, int)
WRITE_BUFFER_BYTES = 1 << 20
TRY = "docs/guides/drills.md shows the format"


class Operation(NamedTuple):
    """One request and its answer. `done` is infinite when no answer ever came.

    `line` is where it stands in the file. `repeatable` says that a repeat would have been allowed,
    `attempt` counts the tries of one and the same deed, `version` is the value's number in the
    order of its key's writes, where the server tells it. `model` says what it is judged as, where
    its kind is a name of the application's own: an `upload` may be an `add`.
    """

    line: int
    at: float
    done: float
    user: str
    kind: str
    key: str
    value: Any
    outcome: str
    status: int | str
    repeatable: bool
    idempotency: str
    attempt: int
    server: str
    level: str
    version: int | None
    model: str


class Event(NamedTuple):
    """Something that was done to the servers, from `at` to `done`.

    `planned` changes excuse no failure. `ends` names the event that it ends.
    """

    line: int
    at: float
    done: float
    event: str
    id: str
    aim: str
    planned: bool
    ends: str
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The first line, which may be left out. `promises` are those that the history is to prove.

    `cache_behind_s` is how long after a commit a cache may still give what was there before.
    """

    promises: tuple[str, ...] = ()
    may_fail: str = "any"
    drill: str = ""
    note: str = ""
    cache_behind_s: float = CACHE_BEHIND_S


Record = Operation | Event | Header


def read(path: Path) -> Iterator[Record]:
    """Read a history line by line (blocking). Raise HistoryError, which names file and line."""
    try:
        with path.open("rb") as file:
            yield from parse(file, source=str(path))
    except OSError as error:
        raise HistoryError(
            cannot=f"read {path}", because=error.strerror or str(error), try_="the right path"
        ) from error


def parse(lines: Iterable[bytes], *, source: str = "history") -> Iterator[Record]:
    """Read lines. A last line without its end was cut off with its writer and is left out."""
    loads = orjson.loads
    for number, line in enumerate(lines, start=1):
        try:
            found = _object(loads(line))
            yield _operation(found, number) if "kind" in found else _other(found, number)
        except (ValueError, TypeError, KeyError) as error:
            if not line.strip() or not line.endswith(b"\n"):
                continue
            raise _unreadable(source, number, error) from error


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError("it is no object")
    return cast("dict[str, Any]", value)


def _operation(found: dict[str, Any], number: int) -> Operation:
    get = found.get
    at, done, outcome = found["at"], get("done"), found["outcome"]
    level = get("level", "linear")
    if outcome not in OUTCOMES:
        raise ValueError(f"outcome is {outcome!r}; it must be ok, failed or unknown")
    if level not in LEVELS:
        raise ValueError(f"level is {level!r}; it must be linear or session")
    if done is None:
        if outcome == "ok":
            raise ValueError("outcome is ok, and done says that no answer came")
        done = math.inf
    if type(at) not in NUMBERS or type(done) not in NUMBERS or not at <= done:
        raise ValueError(f"at is {at!r}, done {done!r}; they must be seconds, done the later one")
    kind, key, user = found["kind"], get("key", ""), get("user", "")
    if not (type(kind) is type(key) is type(user) is str):
        raise ValueError("kind, key and user must be texts")
    version, model = get("version"), get("model", kind)
    if (version is not None and type(version) is not int) or type(model) is not str:
        raise ValueError("version must be a whole number, model a text")
    return Operation(
        number,
        at,
        done,
        user,
        kind,
        key,
        get("value"),
        outcome,
        get("status", ""),
        get("repeatable", False) is True,
        get("idempotency", ""),
        get("attempt", 1),
        get("server", ""),
        level,
        version,
        model,
    )


def _other(found: dict[str, Any], number: int) -> Event | Header:
    if "event" in found:
        at, done = found["at"], found.get("done", found["at"])
        if type(at) not in NUMBERS or type(done) not in NUMBERS:
            raise ValueError(f"at is {at!r} and done {done!r}; they must be seconds")
        return Event(
            number,
            at,
            done,
            str(found["event"]),
            str(found.get("id", "")),
            str(found.get("aim", "")),
            found.get("planned", False) is True,
            str(found.get("ends", "")),
            str(found.get("note", "")),
        )
    if "history" in found:
        return _header(found)
    raise ValueError('it has neither "kind" (an operation) nor "event" nor "history" (the header)')


def _header(found: dict[str, Any]) -> Header:
    if found["history"] != FORMAT:
        raise ValueError(f"its format is {found['history']!r}, this program reads {FORMAT}")
    may_fail = str(found.get("may_fail", "any"))
    if may_fail not in MAY_FAIL:
        raise ValueError(f"may_fail is {may_fail!r}; it must be one of {', '.join(MAY_FAIL)}")
    behind_s = found.get("cache_behind_s", CACHE_BEHIND_S)
    if type(behind_s) not in NUMBERS or not behind_s >= 0:
        raise ValueError(f"cache_behind_s is {behind_s!r}; it must be seconds, 0 or more")
    return Header(
        promises=tuple(str(each) for each in (found.get("promises") or ())),
        may_fail=may_fail,
        drill=str(found.get("drill", "")),
        note=str(found.get("note", "")),
        cache_behind_s=behind_s,
    )


def _unreadable(source: str, number: int, error: Exception) -> HistoryError:
    because = f"it has no {error}" if isinstance(error, KeyError) else str(error)
    return HistoryError(cannot=f"read line {number} of {source}", because=because, try_=TRY)


class Writer:
    """Writes a history as it happens; what was written is whole lines whenever it is flushed."""

    def __init__(self, path: Path, header: Header | None = None) -> None:
        self._file = path.open("wb", buffering=WRITE_BUFFER_BYTES)
        if header is not None:
            self._line(
                {
                    "history": FORMAT,
                    "promises": list(header.promises),
                    "may_fail": header.may_fail,
                    "drill": header.drill,
                    "note": header.note,
                    "cache_behind_s": header.cache_behind_s,
                }
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def operation(self, **fields: Any) -> None:
        """Write one operation; the names are those of `Operation`."""
        self._line(fields)

    def event(self, event: str, at: float, **fields: Any) -> None:
        """Write what was done to the servers; at once, should we be the next to die."""
        self._line({"event": event, "at": at, **fields})
        self._file.flush()

    def close(self) -> None:
        """Write what is left, and close."""
        self._file.close()

    def _line(self, found: dict[str, Any]) -> None:
        self._file.write(orjson.dumps(found, option=orjson.OPT_APPEND_NEWLINE))
