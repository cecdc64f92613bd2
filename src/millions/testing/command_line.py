"""The command `millions` as a person runs it: another process, its output, its exit status.

Every stack that it starts has its state below a folder of the test's own (`MILLIONS_HOME`).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

MILLIONS = str(Path(sys.executable).parent / "millions")
DONE_WITHIN_S = 110.0
KEPT = ("PATH", "HOME", "LANG")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What a command answered."""

    status: int
    out: str
    err: str

    @property
    def said(self) -> str:
        """All that it printed."""
        return self.out + self.err

    @property
    def json(self) -> Any:
        """Its output, read as JSON."""
        return json.loads(self.out)


def environment(home: Path) -> dict[str, str]:
    """Answer what a command sees of this process's environment, with its state below `home`."""
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    return kept | {"MILLIONS_HOME": str(home)}


def run(
    *arguments: str,
    folder: Path,
    home: Path,
    status: int | None = 0,
    within_s: float = DONE_WITHIN_S,
    **variables: str,
) -> Ran:
    """Run a command in `folder` (blocking).

    Raise AssertionError with what it said when it exits with another `status`; None allows any.
    """
    ran = subprocess.run(
        [MILLIONS, *arguments],
        cwd=folder,
        env=environment(home) | variables,
        capture_output=True,
        text=True,
        timeout=within_s,
        check=False,
    )
    answer = Ran(status=ran.returncode, out=ran.stdout, err=ran.stderr)
    if status is not None and ran.returncode != status:
        raise AssertionError(f"{' '.join(arguments)}: exit status {ran.returncode}\n{answer.said}")
    return answer


def begin(
    *arguments: str,
    folder: Path,
    home: Path,
    out: IO[str] | int = subprocess.PIPE,
    err: int = subprocess.STDOUT,
) -> subprocess.Popen[str]:
    """Start a command that goes on; whoever starts it waits for it."""
    return subprocess.Popen(
        [MILLIONS, *arguments],
        cwd=folder,
        env=environment(home) | {"PYTHONUNBUFFERED": "1"},
        stdout=out,
        stderr=err,
        text=True,
    )


def processes_of(home: Path, stack: str) -> list[int]:
    """Answer the pid of every process of the stack of that name whose state is below `home`."""
    mark = f"MILLIONS_DIRECTORY={home}/{stack}-".encode()
    found: list[int] = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found
