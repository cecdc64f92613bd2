"""Pid files of daemons: who is meant, for certain. Touches nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from millions.runtime import collect, placeholders, processes

if TYPE_CHECKING:
    from millions.model import Unit
    from millions.runtime.processes import Identity
    from millions.runtime.state import StateFolder


def path(state: StateFolder, spec: Unit) -> Path:
    """The pid file of the unit's daemon."""
    return Path(placeholders.filled(spec.daemon, placeholders.places(state, spec)))


def written(place: Path) -> tuple[int, int]:
    """What tells one writing of the file from another; zeros when there is none."""
    try:
        found = place.stat()
    except OSError:
        return (0, 0)
    return (found.st_mtime_ns, found.st_ino)


def number(state: StateFolder, spec: Unit) -> int:
    """The number that stands in the pid file; 0 when there is none. It may be nobody's by now."""
    try:
        text = path(state, spec).read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0
    first = text.split("\n", 1)[0].strip()
    return int(first) if first.isdigit() else 0


def living(state: StateFolder, spec: Unit) -> Identity | None:
    """The daemon of a unit that lives now; None when there is none.

    A number that another program has by now is told apart by its working folder.
    """
    if not spec.daemon:
        return None
    pid = number(state, spec)
    identity = processes.identify(pid) if pid else None
    if identity is None:
        return None
    inside = f"{state.unit(spec.name)}/"
    return identity if processes.working_folder(identity.pid).startswith(inside) else None


def forks(state: StateFolder, spec: Unit, identity: Identity) -> bool:
    """Whether a unit's own process is one that will end, while its daemon lives already."""
    return spec.forking and living(state, spec) not in (None, identity)


def output(state: StateFolder, spec: Unit) -> int:
    """The number of the start into whose log the daemon writes; 0 when none does."""
    daemon = living(state, spec)
    return collect.number_of(processes.output(daemon.pid)) if daemon is not None else 0
