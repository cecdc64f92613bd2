"""When a unit that died is started again, and when it is said to have failed.

Pure; the time is passed in. Failures are counted per revision and in a row.

Source: bounded exponential backoff as in Kubernetes' CrashLoopBackOff, with a first try at once.
"""

from __future__ import annotations

from millions.model import Trouble

DELAYS_S = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Wait after the first, second, … failure in a row. At once first, because a crash of a unit that
was well costs requests; 30 s at most, because somebody who mends the cause waits for it."""

STEADY_S = 30.0
"""A process that was ready for so long was well: its death counts as the first in a row."""

FAILED_AFTER = 2
"""Failures in a row after which a unit is reported as failed (it is still tried again)."""


def after_failure(
    trouble: Trouble | None,
    *,
    revision: str,
    now_s: float,
    ready_for_s: float = 0.0,
    words: str = "",
    grave: bool = False,
) -> Trouble:
    """The trouble of a revision after one more failure."""
    again = trouble is not None and ready_for_s < STEADY_S
    return Trouble(
        revision=revision,
        failures=trouble.failures + 1 if trouble is not None and again else 1,
        at_s=now_s,
        grave=grave,
        words=words,
    )


def next_start_at_s(trouble: Trouble | None) -> float:
    """The earliest time of the next start; 0 when there was no trouble."""
    if trouble is None:
        return 0.0
    return trouble.at_s + DELAYS_S[min(trouble.failures, len(DELAYS_S)) - 1]


def has_failed(trouble: Trouble | None) -> bool:
    """Whether a unit with this trouble, of which nothing is ready, is reported as failed."""
    return trouble is not None and (trouble.grave or trouble.failures >= FAILED_AFTER)
