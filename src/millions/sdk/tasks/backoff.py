"""How long a task that failed waits before its next attempt. Pure.

Doubling with jitter, so that what failed together does not come back together. Source: Marc
Brooker, "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015), its "equal jitter".
"""

from __future__ import annotations

FIRST_S = 1.0
"""The wait after the first failure, before jitter: most failures pass within a second."""

LONGEST_S = 3600.0
"""No wait is longer: a dependency that was down for a day is noticed within the hour."""

UNKNOWN_FIRST_S = 1.0
"""A task that only a newer release knows is offered again after this."""

UNKNOWN_LONGEST_S = 60.0
UNKNOWN_KEPT_S = 3600.0
"""How long a task that no worker knows is kept before it becomes a dead letter. A rollout that
takes longer than an hour has been forgotten."""


def delay_s(failures: int, *, chance: float) -> float:
    """Seconds to wait after `failures` failures (≥ 1); `chance` is in [0, 1)."""
    doubled_s = FIRST_S * 2.0 ** min(failures - 1, 32)
    return min(doubled_s, LONGEST_S) * (0.5 + chance / 2)


def unknown_delay_s(age_s: float, *, chance: float) -> float | None:
    """Seconds until a task of an unknown kind is offered again; None: bury it.

    `age_s` is its age since it was due. The wait grows with the age, so nothing is counted.
    """
    if age_s >= UNKNOWN_KEPT_S:
        return None
    return min(max(age_s, UNKNOWN_FIRST_S), UNKNOWN_LONGEST_S) * (0.5 + chance / 2)
