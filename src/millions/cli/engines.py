"""Finds the server programs a stack needs: in a wheel, on this system, or where its file says.

Looks and asks for versions; never installs anything.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from millions.errors import MachineError
from millions.tiers.kind import Engine, EngineNeed

if TYPE_CHECKING:
    from millions.stack import Stack

ANSWER_WITHIN_S = 20.0
"""`postgres --version` takes milliseconds; a disk that wakes up takes seconds."""

ODD_FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/usr/local/bin", "/usr/bin", "/usr/lib/patroni")
"""Where servers are installed that are not on every user's PATH."""

MACHINE = "{machine}"
"""In the folder of a wheel: what this machine is, such as x86_64."""

VERSION = re.compile(rb"(\d+)(?:\.\d+)*")


def engines(stack: Stack) -> tuple[Engine, ...]:
    """Find every engine of the stack. Raise MachineError for one that is missing or too old."""
    return tuple(engine(need, folder) for need, folder in stack.needs)


def engine(need: EngineNeed, folder: str = "") -> Engine:
    """Find one engine, in `folder` when it is given. Raise MachineError."""
    place = Path(folder) if folder else _own(need)
    program = place / need.program
    if not os.access(program, os.X_OK):
        raise MachineError(
            cannot=f"run {need.name}",
            because=f"{program} is not a program that can be run",
            try_=f"{need.bin_setting} = the folder that holds {need.program}, or leave it out",
        )
    major = _major(program, need.version_option)
    if major < need.lowest:
        raise MachineError(
            cannot=f"run {need.name} from {place}",
            because=f"its version is {major}, and at least {need.lowest} is needed",
            try_=need.install or f"leave out {need.bin_setting}: a newer one comes with Millions",
        )
    return Engine(name=need.name, folder=str(place), major=major)


def which(program: str) -> str | None:
    """The path of a program beside our Python, on PATH, or where systems keep servers."""
    own = str(Path(sys.executable).parent)
    path = os.pathsep.join([own, os.environ.get("PATH", ""), *ODD_FOLDERS])
    return shutil.which(program, path=path)


def _own(need: EngineNeed) -> Path:
    """The folder where it is when the stack file names none."""
    if need.wheel:
        return _in_wheel(need)
    found = which(need.program)
    if found is None:
        raise MachineError(
            cannot=f"run {need.name}",
            because=f"there is no program {need.program} on this machine",
            try_=f"{need.install}, or {need.bin_setting} = its folder",
        )
    return Path(found).parent


def _in_wheel(need: EngineNeed) -> Path:
    found = find_spec(need.wheel)  # found, not imported: imports may log
    if found is None or found.origin is None:
        raise MachineError(
            cannot=f"run {need.name}",
            because=f"the package {need.wheel.replace('_', '-')} is not installed",
            try_=f"pip install {need.wheel.replace('_', '-')}, or {need.bin_setting} = a folder",
        )
    folder = need.wheel_folder.replace(MACHINE, platform.machine())
    return Path(found.origin).parent / folder


@cache  # a climb asks for each of its steps
def _major(program: Path, option: str) -> int:
    try:
        asked = subprocess.run(
            [str(program), option], capture_output=True, timeout=ANSWER_WITHIN_S, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise MachineError(
            cannot=f"run {program}", because=str(error), try_=f"{program} {option}"
        ) from error
    version = VERSION.search(asked.stdout + asked.stderr)
    if version is None:
        raise MachineError(
            cannot=f"learn the version of {program}",
            because=f"it says {asked.stdout.decode(errors='replace').strip()!r}",
            try_=f"{program} {option}",
        )
    return int(version[1])
