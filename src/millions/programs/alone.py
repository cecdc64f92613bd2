"""A server that leaves a cluster: may it go on alone? Run before it starts.

    python -m millions.programs.alone DATA PROGRAMS

Only the data that has all which was acknowledged may. A primary that stopped cleanly is not asked.
One that crashed, or was made a standby when it was started again, has to prove it by the control
files of the other members: what is acknowledged lies on the disk of who led last. Never starts
anything; a standby is left so that it becomes a primary at the end of its own log.

Source: PostgreSQL's `xlogrecovery.c`. What crashed reads all its own log before it follows anybody,
and the control file says then how far that went.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from millions.errors import DataRefusedError, MillionsError
from millions.programs.member import CONTROL_FILE, COPY, EPOCH

if TYPE_CHECKING:
    from collections.abc import Mapping

ANSWER_WITHIN_S = 10.0
SERVERS = 9
"""Numbers that a server may have. The folders of units lie beside one another, and those who run
them may go through the folder around, but not list it."""

ENDS = "ends-recovery"
"""Marks data whose server takes its log from nowhere else while it recovers."""

FOLLOWED = frozenset({"in archive recovery", "shut down in recovery"})
STOPPED = "shut down"
OPEN_END = 1 << 64
"""Where the log of a primary that crashed ends, its control file does not say."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Reach:
    """How far the data of a server goes: its timeline, and the place in it."""

    timeline: int
    place: int


def reach(text: str) -> Reach:
    """Read how far a server goes out of what pg_controldata prints. Raise KeyError, ValueError."""
    pairs = (line.partition(":") for line in text.splitlines())
    lines = {name.strip(): value.strip() for name, _, value in pairs}
    state = lines["Database cluster state"]
    if state in FOLLOWED:
        timeline = int(lines["Min recovery ending loc's timeline"])
        return Reach(timeline=timeline, place=_place(lines["Minimum recovery ending location"]))
    ends = state == STOPPED
    return Reach(
        timeline=int(lines["Latest checkpoint's TimeLineID"]),
        place=_place(lines["Latest checkpoint location"]) if ends else OPEN_END,
    )


def newer(own: Reach, others: Mapping[str, Reach]) -> str:
    """Answer which other member may have what this one has not; '' when none does."""
    for name, other in sorted(others.items()):
        if other > own or (other == own and own.place == OPEN_END):
            return name
    return ""


def check(data: Path, programs: str) -> None:
    """Raise DataRefusedError when another member may have newer data (blocking)."""
    others = {each.parent.name: _read(programs, each) for each in _others(data)}
    name = newer(_read(programs, data), others) if others else ""
    if name:
        raise DataRefusedError(
            cannot=f"start {data.parent.name} on its own",
            because=f"{name} may have data that it has not",
            try_="millions climb --resume or --undo, or millions up: with the other members",
        )


def _others(data: Path) -> tuple[Path, ...]:
    """The data folders of the other servers that were in the same cluster, which have data."""
    tier, _, _ = data.parent.name.rpartition(".")
    names = (f"{tier}.{number}" for number in range(1, SERVERS + 1))
    folders = (data.parent.parent / name / "data" for name in names if name != data.parent.name)
    epoch = _epoch(data)
    return tuple(
        each
        for each in folders
        if epoch and _epoch(each) == epoch and (each / COPY / CONTROL_FILE).exists()
    )


def end_recovery(data: Path) -> None:
    """Let a standby become a primary at the end of its log, when it starts.

    The mark comes first: a start that is broken off is begun again in the same way.
    """
    standby = data / COPY / "standby.signal"
    if standby.exists():
        (data / ENDS).touch()
        standby.replace(standby.with_name("recovery.signal"))


def main(data: Path, programs: str) -> int:
    """Check, and prepare the data; answer the exit status."""
    try:
        check(data, programs)
    except MillionsError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    end_recovery(data)
    return 0


def _epoch(data: Path) -> str:
    try:
        return (data / EPOCH).read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return ""


def _read(programs: str, data: Path) -> Reach:
    try:
        asked = subprocess.run(
            [f"{programs}/pg_controldata", str(data / COPY)],
            capture_output=True,
            text=True,
            timeout=ANSWER_WITHIN_S,
            check=True,
            env={"LC_ALL": "C"},
        )
        return reach(asked.stdout)
    except (OSError, subprocess.SubprocessError, KeyError, ValueError) as error:
        raise DataRefusedError(
            cannot=f"read how far the data of {data.parent.name} goes",
            because=str(error),
            try_="millions doctor",
        ) from error


def _place(text: str) -> int:
    """A place in the log, written as two hexadecimal numbers."""
    high, _, low = text.partition("/")
    return (int(high, 16) << 32) + int(low, 16)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
