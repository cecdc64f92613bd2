"""What the supervisor's verbs work with: one stack's ledger, logs, sockets and watches.

Data and the tasks that run; no policy.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from millions.runtime.journals import Journals
    from millions.runtime.ledger import Ledger
    from millions.runtime.listeners import Listeners
    from millions.runtime.reaper import Reaper
    from millions.runtime.state import StateFolder
    from millions.runtime.watch import Watch


@dataclass(slots=True, kw_only=True)
class Crew:
    """Everything that a verb may need. `wake` asks the loop for another round.

    `fencing` names the units all of whose processes are being killed, until they are dead.
    `changing` are the processes, by unit and number, that are being told of files and servers, and
    `draining` the times (monotonic) since which servers leave the pool of a unit; `shared` is why
    it was told of its servers last, where that goes on.
    """

    state: StateFolder
    ledger: Ledger
    journals: Journals
    listeners: Listeners
    reaper: Reaper
    wake: Callable[[], None]
    watch: Watch = field(init=False)
    generation: int = 0
    changing: set[tuple[str, int]] = field(default_factory=set[tuple[str, int]])
    draining: dict[str, dict[str, float]] = field(default_factory=dict[str, dict[str, float]])
    shared: dict[str, str] = field(default_factory=dict[str, str])
    fencing: dict[str, asyncio.Event] = field(default_factory=dict[str, asyncio.Event])
    tasks: set[asyncio.Task[Any]] = field(default_factory=set[asyncio.Task[Any]])

    def spawn_task(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run `work` beside the loop, which takes another round when it is done.

        What it raises goes to the loop's exception handler: it is a mistake of ours.
        """
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self.tasks.discard(task)
        self.wake()
        if not task.cancelled() and (error := task.exception()) is not None:
            asyncio.get_running_loop().call_exception_handler(
                {"message": "a task of the supervisor failed", "exception": error, "task": task}
            )
