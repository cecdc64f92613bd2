"""Where the backups of a stack are, and how they are, in words."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from millions.backup import archive, catalog, place
from millions.errors import BackupError

if TYPE_CHECKING:
    from millions.backup.place import Place
    from millions.runtime.state import StateFolder

UNIT = "backup.1"
STALE_S = 30.0
"""The keeper of the archive says how it is every 5 s; silence for longer means that it is gone."""

HOUR_S, DAY_S = 3_600.0, 86_400.0


def kept(state: StateFolder) -> Place:
    """Answer where the backups of the stack are. Raise BackupError when it makes none."""
    return place.read(state.unit(UNIT) / place.CONFIGURATION)


def words(state: StateFolder) -> str:
    """Say how old the last backup is and whether WAL is archived; '' where none are made."""
    try:
        where = kept(state)
    except BackupError:
        return ""
    now_s = time.time()
    backups, condition = catalog.listed(where.base), archive.told(where)
    last = f"last {_age(now_s - backups[-1].ended_s)} ago" if backups else "none yet"
    if condition is None or now_s > condition.at_s + STALE_S:
        return f"{last}; nobody archives what is written"
    if condition.problem or not condition.receiving:
        first = condition.problem.splitlines()[0] if condition.problem else "not connected"
        since = _age(now_s - condition.since_s)
        return f"{last}; what is written is not archived since {since}: {first}"
    return f"{last}; what is written is archived"


def _age(seconds: float) -> str:
    for size, letter in ((DAY_S, "d"), (HOUR_S, "h"), (60.0, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {letter}"
    return f"{max(0, int(seconds))} s"
