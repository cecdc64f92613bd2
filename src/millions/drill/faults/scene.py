"""What a fault is given: the stack, the step, where to register its undoing, and a clock."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AsyncExitStack

    from millions.drill.faults.step import Step
    from millions.drill.stage import Stage


@dataclass(slots=True, kw_only=True)
class Scene:
    """One fault under way. `struck` holds the times of the moments at which something was done.

    `over` says when what began at such a moment was done, where that is known.
    `doomed` are the processes that it killed: a status that still tells of one is older than that.
    What is pushed to `hold` is run when the fault ends, also when the drill is interrupted.
    """

    stage: Stage
    step: Step
    hold: AsyncExitStack
    now: Callable[[], float]
    struck: list[float]
    over: dict[float, float] = field(default_factory=dict[float, float])
    doomed: set[int] = field(default_factory=set[int])

    def strike(self) -> None:
        """Note this moment: from here on, requests may be hit."""
        self.struck.append(self.now())

    def struck_whole(self) -> None:
        """Note that what was done at the last moment is done: a busy machine takes its time."""
        self.over[self.struck[-1]] = self.now()
