"""What a data folder says of itself, read by PostgreSQL's own pg_controldata. Changes nothing."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from millions.errors import MoveError

if TYPE_CHECKING:
    from pathlib import Path

ANSWER_WITHIN_S = 10.0
STOPPED_CLEANLY = "shut down"
FOLLOWED = frozenset({"shut down in recovery", "in archive recovery"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlData:
    """The control file. `checkpoint` is where the record of the last checkpoint begins.

    After a clean stop that is the last of all records. A standby is complete up to `replayed` at
    least, of `replayed_timeline`; both are 0 for a primary.
    """

    state: str
    checkpoint: str
    system: str
    timeline: int
    replayed: str = "0/0"
    replayed_timeline: int = 0

    @property
    def stopped_cleanly(self) -> bool:
        """Whether the server wrote everything and stopped."""
        return self.state == STOPPED_CLEANLY

    @property
    def followed(self) -> bool:
        """Whether it was a standby, which has nothing that it was not sent."""
        return self.state in FOLLOWED


def read(programs: str, folder: Path) -> ControlData:
    """Read the control file of the data folder (blocking, milliseconds). Raise MoveError."""
    try:
        ran = subprocess.run(
            [f"{programs}/pg_controldata", "-D", str(folder)],
            capture_output=True,
            text=True,
            env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"},
            timeout=ANSWER_WITHIN_S,
            check=True,
        )
        return parse(ran.stdout)
    except (OSError, subprocess.SubprocessError, KeyError, ValueError) as error:
        said = getattr(error, "stderr", None) or str(error)
        raise MoveError(
            cannot=f"read the state of {folder}", because=said.strip(), try_="millions doctor"
        ) from error


def parse(text: str) -> ControlData:
    """Read what pg_controldata prints. Raise KeyError for a line that is missing."""
    pairs = (line.partition(":") for line in text.splitlines())
    lines = {name.strip(): value.strip() for name, _, value in pairs}
    return ControlData(
        state=lines["Database cluster state"],
        checkpoint=lines["Latest checkpoint location"],
        system=lines["Database system identifier"],
        timeline=int(lines["Latest checkpoint's TimeLineID"]),
        replayed=lines["Minimum recovery ending location"],
        replayed_timeline=int(lines["Min recovery ending loc's timeline"]),
    )
