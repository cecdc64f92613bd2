"""Notices that a task blocks the event loop, from a thread of its own.

It cannot stop such a task: Python has no way to end a call that does not await. It says which one
it is and where, and, in a process that only works on tasks, ends the process, so that its
supervisor starts another and others run its tasks.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING

from millions.sdk.log import lines, log

if TYPE_CHECKING:
    from millions.sdk.tasks.runner import Runner

ASK_EVERY_S = 1.0
BLOCKED_S = 2.0
"""A loop that does not answer for this long is blocked; an answer is late by milliseconds."""

EXIT_AFTER_S = 5.0
"""Beyond the time limit of what runs."""

EXIT_CODE = 70
"""`EX_SOFTWARE` of sysexits.h."""

STACK_MAX = 12


class Watchdog:
    """Asks the loop, once a second, whether it still turns."""

    def __init__(self, runner: Runner, *, exits: bool) -> None:
        self._runner = runner
        self._exits = exits
        self._stopped = threading.Event()
        self._answered_s = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._loop_thread = 0

    def start(self) -> None:
        """Begin to watch the running loop."""
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self._answered_s = time.monotonic()
        threading.Thread(target=self._watch, name="millions-watchdog", daemon=True).start()

    def stop(self) -> None:
        """Stop watching."""
        self._stopped.set()

    def _watch(self) -> None:
        loop = self._loop
        told = False
        while loop is not None and not self._stopped.wait(ASK_EVERY_S):
            silent_s = time.monotonic() - self._answered_s - ASK_EVERY_S
            if silent_s < BLOCKED_S:
                told = False
            elif not told:
                told = True
                self._tell(loop, silent_s)
            if self._exits and silent_s > self._limit_s():
                log.critical("tasks: the event loop is blocked; this process ends")
                lines.flush()
                os._exit(EXIT_CODE)
            try:
                loop.call_soon_threadsafe(self._answer)
            except RuntimeError:  # the loop is closed
                return

    def _answer(self) -> None:
        self._answered_s = time.monotonic()

    def _limit_s(self) -> float:
        running = tuple(self._runner.running.values())
        return EXIT_AFTER_S + max((run.task.bounds.time_limit_s for run in running), default=0.0)

    def _tell(self, loop: asyncio.AbstractEventLoop, silent_s: float) -> None:
        task = asyncio.current_task(loop)
        frame = sys._current_frames().get(self._loop_thread)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # documented
        stack = traceback.format_stack(frame)[-STACK_MAX:] if frame is not None else []
        log.error(
            "the event loop is blocked; nothing else in this process goes on",
            task=task.get_name() if task is not None else None,
            silent_s=round(silent_s, 1),
            stack="".join(stack),
        )
        lines.flush()
