"""A history that also says what happened since it was last asked: for whoever watches a climb.

It writes what `Writer` writes, and keeps the latencies of one interval.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from millions.drill.history import Writer

if TYPE_CHECKING:
    from pathlib import Path

    from millions.drill.history import Header


class Recent(Writer):
    """Writes a history, and answers what was new in it."""

    def __init__(self, path: Path, header: Header) -> None:
        super().__init__(path, header)
        self._taken: list[float] = []
        self._good = self._failed = 0
        self._asked = 0.0
        self._last_good: float | None = None
        self._pause = 0.0

    def operation(self, **fields: Any) -> None:
        """Write one operation, and note it."""
        super().operation(**fields)
        if fields["outcome"] != "ok":
            self._failed += 1
            return
        self._good += 1
        done = fields["done"]
        self._taken.append(done - fields["at"])
        self._note_pause(done)
        self._last_good = done

    def told(self, now: float) -> dict[str, float | int]:
        """Answer the counts so far, and rate and latencies since it was last asked.

        `pause_s` is the longest time without a good answer so far, one that lasts included.
        """
        taken, self._taken = sorted(self._taken), []
        seconds, self._asked = now - self._asked, now
        self._note_pause(now)
        return {
            "at": now,
            "good": self._good,
            "failed": self._failed,
            "rate": len(taken) / seconds if seconds > 0 else 0.0,
            "p50": taken[len(taken) // 2] if taken else 0.0,
            "p99": taken[int(len(taken) * 0.99)] if taken else 0.0,
            "pause_s": self._pause,
        }

    def _note_pause(self, now: float) -> None:
        if self._last_good is not None:
            self._pause = max(self._pause, now - self._last_good)
