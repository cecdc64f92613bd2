"""`log`: JSON lines on standard output, each with the id of the request it belongs to.

It never raises into the application: a full disk or a closed pipe loses lines, and `lines.lost`
counts them. Lines of one turn of the event loop are written together.

Source: structlog's own advice for fast JSON logging (bytes, orjson, no stdlib in between).
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import select
import sys
import threading
import traceback
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import orjson
import structlog

from millions.sdk.requests import request_id

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from structlog.typing import FilteringBoundLogger

LEVEL_VARIABLE = "MILLIONS_LOG_LEVEL"
UNIT_VARIABLE = "MILLIONS_UNIT"
WRITABLE_WITHIN_S = 1.0
"""How long a full pipe may hold the process before lines are dropped."""

MARK = "__millions_logged__"
"""Set on an exception that already has its line, so that the server does not write it again."""


class Lines:
    """Writes lines to a file descriptor, those of one turn of the event loop together."""

    def __init__(self, descriptor: int = 1) -> None:
        self.descriptor = descriptor
        self.lost = 0
        self._pending: list[bytes] = []
        self._lock = threading.RLock()  # a finalizer may log while a line is taken
        self._scheduled = False

    def write(self, line: bytes) -> None:
        """Take one line without its newline."""
        with self._lock:
            self._pending.append(line)
            if self._scheduled:
                return
            try:
                asyncio.get_running_loop().call_soon(self.flush)
                self._scheduled = True
            except RuntimeError:
                pass
        if not self._scheduled:
            self.flush()

    def flush(self) -> None:
        """Write what was taken so far."""
        with self._lock:
            pending, self._pending, self._scheduled = self._pending, [], False
            if pending:
                pending.append(b"")
                self._out(b"\n".join(pending), len(pending) - 1)

    def _out(self, data: bytes, count: int) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self.descriptor, view) :]
            except BlockingIOError:
                if not select.select([], [self.descriptor], [], WRITABLE_WITHIN_S)[1]:
                    self.lost += count
                    return
            except OSError:
                self.lost += count
                return

    def msg(self, line: bytes) -> None:
        """Take a rendered line from structlog."""
        self.write(line)

    debug = info = warning = warn = error = critical = exception = fatal = log = msg


lines = Lines()
unit = os.environ.get(UNIT_VARIABLE, "")


def now() -> str:
    """The time as in every line: UTC, milliseconds, RFC 3339."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _render(_logger: object, level: str, event: MutableMapping[str, Any]) -> bytes:
    """Make one JSON line of an event: time, level, event, request_id and unit come first."""
    record: dict[str, Any] = {"time": now(), "level": event.pop("level", level)}
    record["event"] = event.pop("event", "")
    identity = request_id()
    if identity is not None:
        record["request_id"] = identity
    if unit:
        record["unit"] = unit
    exception = event.pop("exc_info", None)
    if exception:
        record["exception"] = _traceback(exception)
    record.update(event)
    try:
        return orjson.dumps(record, default=str, option=orjson.OPT_NON_STR_KEYS)
    except TypeError:  # half a surrogate pair, or a number too large: said all the same
        plain = {str(name): value for name, value in record.items()}
        return json.dumps(plain, default=repr, skipkeys=True).encode()


def _traceback(given: object) -> str:
    if isinstance(given, BaseException):
        error: BaseException | None = given
    elif isinstance(given, tuple):
        error = cast("tuple[Any, BaseException | None]", given)[1]
    else:
        error = sys.exception()
    return "" if error is None else "".join(traceback.format_exception(error))


def _level() -> int:
    name = os.environ.get(LEVEL_VARIABLE, "info").upper()
    return logging.getLevelNamesMapping().get(name, logging.INFO)


_PROCESSORS: list[Any] = [structlog.contextvars.merge_contextvars, _render]
log: FilteringBoundLogger = structlog.wrap_logger(
    lines,
    processors=_PROCESSORS,
    wrapper_class=structlog.make_filtering_bound_logger(_level()),
    cache_logger_on_first_use=True,
)
"""The logger that application code imports: `log.info("photo stored", photo=photo_id)`."""


class Standard(logging.Handler):
    """Brings what libraries say through Python's own `logging` into the same lines."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record; skip an exception that has its line already."""
        try:
            error = record.exc_info[1] if record.exc_info else None
            if error is not None and getattr(error, MARK, False):
                return
            event: dict[str, Any] = {"event": record.getMessage(), "logger": record.name}
            if error is not None:
                event["exc_info"] = error
            lines.write(_render(None, record.levelname.lower(), event))
        except Exception:  # noqa: BLE001  # a log line that cannot be made harms nobody
            lines.lost += 1


def configure() -> None:
    """Make a process log as a unit does: structlog and `logging` both as JSON lines."""
    level = _level()
    structlog.configure(
        processors=_PROCESSORS,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: lines,
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers[:] = [Standard()]
    root.setLevel(max(level, logging.INFO))
    logging.captureWarnings(capture=True)
