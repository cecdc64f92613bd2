"""Waiting for what a supervisor brings about: bounded, and by one that lives."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from millions.runtime import supervisor

if TYPE_CHECKING:
    from collections.abc import Callable

    from millions.errors import MillionsError
    from millions.runtime.state import StateFolder

LOOK_S = 0.05


def until(
    state: StateFolder,
    waits_for: Callable[[], str],
    late: Callable[[str], MillionsError],
    *,
    within_s: float,
    look_s: float = LOOK_S,
) -> None:
    """Wait until `waits_for` answers '' (blocking).

    Raise `late` of its answer when it still waits after `within_s`; 0 looks once.
    """
    deadline_s = time.monotonic() + within_s
    while waits := waits_for():
        if time.monotonic() >= deadline_s:
            raise late(waits)
        supervisor.ensure(state)
        time.sleep(look_s)
