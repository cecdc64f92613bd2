"""One line on a terminal that says how far something is; a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

TERMINAL_EVERY_S = 0.1
LOG_EVERY_S = 5.0


class Progress:
    """Counts steps of a whole; shown on standard error."""

    def __init__(self, what: str, whole: int) -> None:
        self.what = what
        self.whole = whole
        self.done = 0
        self.started = time.monotonic()
        self.shown = 0.0
        self.terminal = sys.stderr.isatty()

    def __enter__(self) -> Self:
        return self

    def step(self) -> None:
        """One more is done."""
        self.reach(self.done + 1)

    def reach(self, done: int) -> None:
        """So many are done."""
        self.done = max(self.done, done)
        now = time.monotonic()
        if now - self.shown >= (TERMINAL_EVERY_S if self.terminal else LOG_EVERY_S):
            self.shown = now
            self._show(end="\r" if self.terminal else "\n")

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        self._show(end="\n" if kind is None else " (stopped)\n")

    def _show(self, *, end: str) -> None:
        rate = self.done / max(time.monotonic() - self.started, 1e-6)
        line = f"{self.what:<9}{self.done:>8} of {self.whole:<8}{rate:>7.0f}/s"
        print(line, end=end, file=sys.stderr, flush=True)  # noqa: T201  # for who waits
