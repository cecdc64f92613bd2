"""`status.json`: what runs. Written by the supervisor, read by the command line.

Never needed by anything that runs: it is made anew from what is observed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from millions.runtime import codec, files

if TYPE_CHECKING:
    from pathlib import Path

FORMAT = 1
"""Version of the file's shape; another one is refused."""

TRY = "millions up, whose supervisor writes it anew; what runs was not touched"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitStatus:
    """One unit. Times are unix seconds; `pid` is None while nothing of it runs.

    `phase` is one of: starting, ready, unready, stopping (a process runs); waiting (for what it
    needs), preparing, failing (it keeps dying, `next_start_at_s` says when it is tried again);
    kept (not wanted any more, its data is). `why` says in words what somebody should know, with the
    last lines of its log where it failed. While a new revision starts, the one that serves is told.
    """

    name: str
    tier: str = ""
    revision: str = ""
    release: str = ""
    phase: str = "waiting"
    pid: int | None = None
    address: str = ""
    public: tuple[str, ...] = ()
    since_s: float = 0.0
    restarts: int = 0
    why: str = ""
    next_start_at_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingStatus:
    """A group whose number follows the work: how many, between which bounds, since when and why.

    `held` says what is in the way of another number, `at_s` is 0 while nothing was decided yet.
    """

    group: str
    count: int
    least: int
    most: int
    at_s: float = 0.0
    why: str = ""
    held: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The whole stack. `generation` is that of the desired document which it has read.

    `settled` says that everything wanted is ready and nothing is under way, `failed` names the
    units whose start or new revision failed, `actions` is the plan now under way, `problem` what is
    wrong with the supervisor's own work (a full disk, a document that cannot be read).
    """

    generation: int
    at_s: float
    supervisor_pid: int
    epoch: int = 0
    units: tuple[UnitStatus, ...] = ()
    settled: bool = False
    failed: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    problem: str = ""
    scaling: tuple[ScalingStatus, ...] = ()
    format: int = FORMAT

    def text(self) -> str:
        """The document as JSON, stable for equal documents."""
        return codec.text(self)


def parse(text: str, *, source: str = "status.json") -> Status:
    """Read a document. Raise StateError when it is not whole or of another format."""
    return codec.parse(Status, text, where=source, try_=TRY)


def read(path: Path) -> Status | None:
    """Read the document at `path` (blocking); None when there is none yet."""
    return codec.read(Status, path, try_=TRY)


def write(path: Path, status: Status) -> None:
    """Write the document at `path` atomically (blocking), also on a full disk.

    It does not wait for the disk: after a crash of the machine nothing of it would be true.
    """
    files.exchange(path, status.text())
