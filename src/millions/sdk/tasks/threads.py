"""A bounded pool of threads for tasks that are not async. It never keeps the process alive.

A thread cannot be killed. Past its time limit a function is asked to stop by an exception raised
inside it (that reaches Python code, not a call into C such as `time.sleep` or a driver); until it
stops, another thread takes its place, up to `ABANDONED_MAX` of them.
Source: dramatiq `middleware/threading.py` for the interruption.
"""

from __future__ import annotations

import asyncio
import ctypes
import queue
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Context

ABANDONED_MAX = 16
"""So many threads may hang at once and be replaced; then the pool gets smaller by each more."""


class TimeLimitExceeded(BaseException):
    """The task ran longer than its time limit; `except Exception` does not swallow it."""


@dataclass(slots=True, eq=False)
class Job:
    """One call under way in a thread."""

    call: Callable[[], Any]
    context: Context
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    lock: threading.Lock = field(default_factory=threading.Lock)
    thread: int | None = None
    over: bool = False
    given_up: bool = False


class Threads:
    """At most `size` threads at work, plus those that hang. Threads start when first needed."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._alive = 0
        self._free = 0
        self._waiting = 0
        self._hanging = 0

    @property
    def hanging(self) -> int:
        """How many threads run something that was given up."""
        return self._hanging

    def submit(self, call: Callable[[], Any], context: Context) -> Job:
        """Run `call` in a thread, within `context`. Await the job's future for its result."""
        loop = asyncio.get_running_loop()
        job = Job(call, context, loop, loop.create_future())
        with self._lock:
            if self._free:
                self._free -= 1
            elif self._alive < self._bound():
                self._start_one()
            else:
                self._waiting += 1
            self._jobs.put(job)
        return job

    def give_up(self, job: Job) -> None:
        """Nobody waits for `job` any more: interrupt it, and count its thread out until it ends."""
        with job.lock:
            if job.over:
                return
            if job.thread is None:
                job.over = True  # not begun: it never will
                return
            job.given_up = True
            _raise_in(job.thread, TimeLimitExceeded)
            with self._lock:
                self._hanging += 1
                if self._waiting and self._alive < self._bound():
                    self._waiting -= 1
                    self._start_one()

    def close(self) -> None:
        """Let idle threads end, and the others after their job. Nothing is waited for."""
        for _ in range(self._alive):
            self._jobs.put(None)

    def _bound(self) -> int:
        return self._size + min(self._hanging, ABANDONED_MAX)

    def _start_one(self) -> None:
        self._alive += 1
        threading.Thread(target=self._serve, name="millions-task", daemon=True).start()

    def _serve(self) -> None:
        while True:
            job = self._jobs.get()
            if job is None:
                return
            _work(job)
            with self._lock:
                self._hanging -= job.given_up
                if self._alive > self._bound():
                    self._alive -= 1
                    return
                if self._waiting:
                    self._waiting -= 1
                else:
                    self._free += 1


def _work(job: Job) -> None:
    """Run one job and hand its result to the loop, whatever interrupts it and when."""
    with job.lock:
        if job.over:
            return
        job.thread = threading.get_ident()
    result: Any = None
    failure: BaseException | None = None
    try:
        try:
            result = job.context.run(job.call)
        finally:
            with job.lock:
                job.over = True  # from here on nobody interrupts this thread
            _raise_in(threading.get_ident(), None)
    except BaseException as error:  # noqa: BLE001  # the task has it, not the thread
        job.over = True
        failure = error
    try:
        job.loop.call_soon_threadsafe(_deliver, job.future, result, failure)
    except RuntimeError:  # the loop is closed: the process is going
        return


def _deliver(future: asyncio.Future[Any], result: Any, failure: BaseException | None) -> None:
    if future.done():
        return
    if failure is None:
        future.set_result(result)
    elif isinstance(failure, StopIteration):
        future.set_exception(RuntimeError(f"the task raised {failure!r}"))
    else:
        future.set_exception(failure)


def _raise_in(thread: int, kind: type[BaseException] | None) -> None:
    """Set, or with None clear, the exception that `thread` raises at its next step."""
    what = ctypes.py_object(kind) if kind is not None else None
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), what)
