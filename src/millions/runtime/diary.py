"""The supervisor's own log: JSON lines of what it did and why, bounded.

Never holds what units write, nor a secret.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from millions.runtime.state import StateFolder

BYTES_MAX = 4 * 1024 * 1024
"""When the log is larger it is begun anew; one older one is kept."""

_OUTPUTS = (1, 2)


def open_log(state: StateFolder) -> IO[bytes]:
    """Open the log for a process that is to write to it; private to us."""
    _bound(state.supervisor_log)
    state.supervisor_log.touch(mode=0o600)
    return state.supervisor_log.open("ab")


def tell(state: StateFolder, event: str, *, level: str = "info") -> None:
    """Write one line. Our own output follows when the log was begun anew."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    record = {"time": now, "level": level, "unit": "supervisor", "event": event}
    try:
        anew = _bound(state.supervisor_log)
        with open_log(state) as log:
            if anew:
                for output in _OUTPUTS:
                    os.dup2(log.fileno(), output)
            log.write(json.dumps(record).encode() + b"\n")
    except OSError:  # a full disk: the status says so
        return


def _bound(path: Path) -> bool:
    if not path.exists() or path.stat().st_size <= BYTES_MAX:
        return False
    path.rename(path.with_suffix(".1.log"))
    return True
