"""Reaping: every child that ends, our own or an orphan of a unit, and what its end was.

The supervisor is a child subreaper, so that orphans come to it at once and no zombie looks alive
to others. Never waits.

Source: PR_SET_CHILD_SUBREAPER in prctl(2); `notes/database.md` for why it matters to failover.
"""

from __future__ import annotations

import ctypes
import os
import signal
from collections import OrderedDict

_PR_SET_CHILD_SUBREAPER = 36

ENDS_MAX = 1024
"""Ends that are remembered; far more than can be between a death and its burial."""


def become_subreaper() -> None:
    """Make orphaned descendants children of this process."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


class Reaper:
    """Remembers how children ended until somebody asks."""

    def __init__(self) -> None:
        self._ends: OrderedDict[int, int] = OrderedDict()

    def reap(self) -> None:
        """Take in every child that has ended."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._ends[pid] = os.waitstatus_to_exitcode(status)
            if len(self._ends) > ENDS_MAX:
                self._ends.popitem(last=False)

    def look(self, pid: int) -> int | None:
        """The same as `code`, which still answers after it."""
        self.reap()
        return self._ends.get(pid)

    def code(self, pid: int) -> int | None:
        """The exit code of a child that has ended (negative: the signal); None when not known."""
        self.reap()
        return self._ends.pop(pid, None)


def said(code: int | None) -> str:
    """An exit code in words."""
    if code is None:
        return "ended (how is not known: an earlier supervisor had started it)"
    if code >= 0:
        return f"exited with status {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
