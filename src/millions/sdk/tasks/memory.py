"""Ends a process that takes more memory than it may, from a thread of its own.

Python gives memory back to nobody who asks for it: a task that takes all of it takes it from every
other. So the process ends, others run its tasks, and the supervisor starts it anew. A task that
does so again and again is a dead letter at last (`tending.LOSSES_MAX`).
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from millions.sdk.log import lines, log

if TYPE_CHECKING:
    from collections.abc import Callable

LOOK_EVERY_S = 0.2
"""A loop in Python fills some 1 GiB in this time; what is quicker the kernel refuses."""

EXIT_CODE = 71
"""`EX_OSERR` of sysexits.h."""

NAMED_MAX = 8
MIB = 1 << 20
_PAGE = os.sysconf("SC_PAGE_SIZE")


def resident_mib(pid: int | str = "self") -> float:
    """Answer the memory that a process holds; 0 when there is none of this number."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:  # noqa: PTH123  # called often
            return int(file.read().split()[1]) * _PAGE / MIB
    except (OSError, IndexError, ValueError):
        return 0.0


class Memory:
    """Watches this process. `limit_mib` 0: it watches nothing. `running` names its tasks."""

    def __init__(self, limit_mib: int, running: Callable[[], list[str]]) -> None:
        self._limit_mib = limit_mib
        self._running = running
        self._stopped = threading.Event()

    def start(self) -> None:
        """Begin to watch."""
        if self._limit_mib:
            threading.Thread(target=self._watch, name="millions-memory", daemon=True).start()

    def stop(self) -> None:
        """Stop watching."""
        self._stopped.set()

    def _watch(self) -> None:
        while not self._stopped.wait(LOOK_EVERY_S):
            taken_mib = resident_mib()
            if taken_mib > self._limit_mib:
                log.critical(
                    "tasks: this process takes too much memory and ends",
                    taken_mib=round(taken_mib),
                    limit_mib=self._limit_mib,
                    running=self._running()[:NAMED_MAX],
                )
                lines.flush()
                os._exit(EXIT_CODE)
