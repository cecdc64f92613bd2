"""What bench/tasks.py measures of one system: a backlog, a steady rate, and a worker killed.

backlog  enqueue all, start the workers, and take the rate from the first tenth to the end
steady   tasks at a modest rate to workers that wait for them: latency from before the task is
         enqueued to its first line
killed   SIGKILL one worker in the middle, start another: which tasks never ran to their end
"""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tasks_peers.counting import Board
from tasks_servers import server_cpu_s
from tasks_sides import HERE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tasks_sides import Side

PEERS = HERE / "tasks_peers"
RUN_WITHIN_S = 90.0
STOP_WITHIN_S = 10.0
LOOK_S = 0.005

RATE = 100.0
STEADY_S = 6.0
WARM_S = 1.0
"""Of the steady seconds these are not counted: the producer's first connections."""

WARM_TASKS = 200
WARM_TIMES = 10
"""So often so many tasks are sent at once, until each worker ran one: its start is over then."""

KILLED_TASKS = 300
TAKES_S = 0.02
KILL_AFTER = 50
BACK_S = 5.0
"""What the peers are told to wait before they give a dead worker's tasks to others, where they can
be told; their defaults are 60 s (Dramatiq), 310 s (ARQ), 600 s (Taskiq) and 3600 s (Celery)."""

BACK_WITHIN_S = 45.0


class FailedError(Exception):
    """A run that measured nothing: a worker ended, or was given no task."""


class Run:
    """One run of one side: its environment, its board, its log."""

    def __init__(
        self, side: Side, folder: Path, server: Any, *, tasks: int, **settings: str
    ) -> None:
        self.side = side
        self.tasks = tasks
        self.server: int = server.process.pid
        self.path = folder / "board"
        self.log = folder / "peers.log"
        self.board = Board(self.path, tasks, new=True)
        self.environment = {
            **os.environ,
            "BENCH_TASKS": str(tasks),
            "BENCH_BOARD": str(self.path),
            "BENCH_URL": server.url(side.name),
            "C_FORCE_ROOT": "1",
            "PYTHONPATH": str(PEERS),
            "PYTHONWARNINGS": "ignore",
            "dramatiq_queue_prefetch": "256",  # its default of two a thread does 200 a second
            **side.settings,
            **settings,
        }

    def enqueue(self, count: int, *, rate: float = 0.0) -> float:
        """Let a producer send `count` tasks; answer how long that took."""
        began_s = time.perf_counter()
        with self.log.open("ab") as log:
            subprocess.run(
                [*self.side.enqueue, str(count)],
                cwd=PEERS,
                env={**self.environment, "BENCH_RATE": str(rate)},
                check=True,
                timeout=RUN_WITHIN_S,
                stdout=log,
                stderr=log,
            )
        return time.perf_counter() - began_s

    @contextmanager
    def workers(self, count: int) -> Iterator[list[subprocess.Popen[bytes]]]:
        """Worker processes, each started by a command of its own, stopped at the end."""
        with self.log.open("ab") as log:
            running = [
                subprocess.Popen(
                    self.side.work,
                    cwd=PEERS,
                    env=self.environment,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
                for _ in range(count)
            ]
        try:
            yield running
        finally:
            for each in running:
                each.terminate()
            for each in running:
                _stop(each)

    def ran(self) -> int:
        """How many tasks ran so far, again ones too."""
        return sum(self.board.workers().values())

    def wait(self, done: Callable[[], bool], within_s: float = RUN_WITHIN_S) -> bool:
        """Wait for `done`; answer whether it came true."""
        deadline_s = time.monotonic() + within_s
        while not done():
            if time.monotonic() > deadline_s:
                return False
            time.sleep(LOOK_S)
        return True

    def must(self, tasks: int, *, by: int = 1) -> None:
        """Wait until so many ran, by so many workers, or give up this run."""
        if not self.wait(lambda: self.ran() >= tasks and len(self.board.workers()) >= by):
            raise FailedError(f"{self.board.workers()} of {self.tasks} ran")

    def spent(self) -> tuple[float, float, float]:
        """The moment, and the CPU seconds of the processes that ran tasks and of the server."""
        workers_s = sum(time.clock_gettime(_clock(pid)) for pid in self.board.workers())
        return time.perf_counter(), workers_s, server_cpu_s(self.server)

    def per_task(self, before: tuple[float, float, float], tasks: int) -> dict[str, Any]:
        """The CPU since `before`, in µs a task."""
        now = self.spent()
        return {
            "per_s": tasks / (now[0] - before[0]),
            "worker_cpu_us": (now[1] - before[1]) / tasks * 1e6,
            "server_cpu_us": (now[2] - before[2]) / tasks * 1e6,
        }


def backlog(side: Side, folder: Path, server: Any, workers: int) -> dict[str, Any]:
    """How fast `workers` processes work off tasks that wait already."""
    run = Run(side, folder, server, tasks=side.tasks)
    enqueued_s = run.enqueue(side.tasks)
    with run.workers(workers):
        run.must(side.tasks // 10, by=workers)
        first, before = run.ran(), run.spent()
        run.must(side.tasks)
        measured = run.per_task(before, side.tasks - first)
    return {**measured, "measured": side.tasks - first, "enqueued_per_s": side.tasks / enqueued_s}


def steady(side: Side, folder: Path, server: Any, workers: int) -> dict[str, Any]:
    """How long a task waits at a rate that leaves the workers idle most of the time."""
    tasks, warm = int(RATE * STEADY_S), int(RATE * WARM_S)
    run = Run(side, folder, server, tasks=tasks, BENCH_NOTED="1")
    run.enqueue(WARM_TASKS)  # before workers start: whoever enqueues first makes the tables
    with run.workers(workers):
        _warm_up(run, workers)
        before, warmed = run.spent(), run.ran()
        run.enqueue(tasks, rate=RATE)
        run.must(warmed + tasks)
        assert all(run.board.ran), "a task ran twice, another not yet"
        measured = run.per_task(before, tasks)
    pairs = zip(run.board.sent, run.board.ran, strict=True)
    late_ms = sorted([(ran - sent) * 1e3 for sent, ran in pairs][warm:])
    return {
        "p50_ms": statistics.median(late_ms),
        "p99_ms": late_ms[int(len(late_ms) * 0.99)],
        "worker_cpu_us": measured["worker_cpu_us"],
        "server_cpu_us": measured["server_cpu_us"],
    }


def _warm_up(run: Run, workers: int) -> None:
    sent = WARM_TASKS
    run.must(sent)
    while len(run.board.workers()) < workers:
        if sent >= WARM_TASKS * WARM_TIMES:
            raise FailedError(f"a worker was given none of {sent} tasks")
        run.enqueue(WARM_TASKS)
        sent += WARM_TASKS
        run.must(sent)
    for number in range(WARM_TASKS):
        run.board.ran[number] = 0.0


def killed(side: Side, folder: Path, server: Any, _workers: int) -> dict[str, Any]:
    """What becomes of tasks that a worker held when it was killed."""
    run = Run(
        *(side, folder, server),
        tasks=KILLED_TASKS,
        BENCH_NOTED="1",
        BENCH_TAKES_S=str(TAKES_S),
        BENCH_BACK_S=str(BACK_S),
    )
    run.enqueue(KILLED_TASKS)
    with run.workers(1) as (worker,):
        run.must(KILL_AFTER)
        time.sleep(TAKES_S / 2)  # in the middle of the next one
        os.killpg(worker.pid, signal.SIGKILL)
        killed_s = time.perf_counter()
    with run.workers(1):
        run.wait(lambda: all(run.board.ran), BACK_WITHIN_S)
    ended = [ran for ran in run.board.ran if ran]
    return {
        "lost": KILLED_TASKS - len(ended),
        "again": run.ran() - len(ended),
        "last_s": max(ended) - killed_s,
    }


def _clock(pid: int) -> int:
    """The clock of another process's CPU time: clock_getcpuclockid(3) of Linux."""
    return ~pid << 3 | 2


def _stop(worker: subprocess.Popen[bytes]) -> None:
    """Stop the worker and the processes that it started: it leads a session of its own."""
    try:
        worker.wait(STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait(STOP_WITHIN_S)
