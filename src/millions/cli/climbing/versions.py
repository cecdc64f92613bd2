"""The versions of everything that took part in a climb, for its report. Asks programs, blocking."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from importlib.metadata import version
from typing import TYPE_CHECKING

from millions.cli.engines import ANSWER_WITHIN_S, engine
from millions.errors import MachineError
from millions.tiers import tiers

if TYPE_CHECKING:
    from collections.abc import Iterable

NUMBER = re.compile(r"\d+(?:\.\d+)+")
GIB = 1 << 30


def versions(names: Iterable[str]) -> dict[str, str]:
    """Answer the versions of what the tiers of these names run, of Python and of ourselves."""
    wanted = set(names)
    found = {"millions": version("millions"), "Python": platform.python_version()}
    for tier in tiers():
        if tier.name not in wanted:
            continue
        for need in tier.needs:
            try:
                place = engine(need).folder
                asked = subprocess.run(
                    [os.path.join(place, need.program), need.version_option],  # noqa: PTH118  # a folder's text
                    capture_output=True,
                    timeout=ANSWER_WITHIN_S,
                    check=True,
                )
            except (MachineError, OSError, subprocess.SubprocessError):
                continue  # it ran from another folder, which the stack file names
            number = NUMBER.search((asked.stdout + asked.stderr).decode(errors="replace"))
            found[need.name] = number[0] if number else "?"
    return found


def machine() -> str:
    """Answer in words what this machine is."""
    memory_gib = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / GIB
    kind = f"{platform.system()} {platform.release()}, {platform.machine()}"
    return f"{os.cpu_count()} cores, {memory_gib:.0f} GiB, {kind}"
