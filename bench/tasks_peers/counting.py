"""Measures inside a worker: rate and CPU from the first tenth of the tasks to the last one.

It uses nothing but the standard library, for every peer imports it in its own environment.
"""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")


def server_cpu_s(pid: int) -> float:
    """CPU seconds of a server: the process, its live children, and those it has reaped."""
    total = 0.0
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(") ")[2].split()
        except OSError:
            continue
        if int(entry.name) == pid:
            total += sum(int(each) for each in fields[11:15])
        elif int(fields[1]) == pid:
            total += sum(int(each) for each in fields[11:13])
    return total / TICK


class Counter:
    """`count()` is what the measured task does, and all it does."""

    def __init__(self) -> None:
        self.tasks = int(os.environ["BENCH_TASKS"])
        self.warm = self.tasks // 10
        self.path = Path(os.environ["BENCH_RESULT"])
        self.server = int(os.environ["BENCH_SERVER"])
        self.ran = 0
        self.lock = threading.Lock()
        self.began = (0.0, 0.0, 0.0)

    def count(self) -> None:
        """Count one task; write the result with the last."""
        with self.lock:
            self.ran += 1
            if self.ran == self.warm:
                self.began = (time.perf_counter(), time.process_time(), server_cpu_s(self.server))
            elif self.ran == self.tasks:
                self.write()

    def write(self) -> None:
        """Write what was measured, atomically."""
        wall_s = time.perf_counter() - self.began[0]
        cpu_s = time.process_time() - self.began[1]
        served_s = server_cpu_s(self.server) - self.began[2]
        tasks = self.tasks - self.warm
        half = self.path.with_suffix(".half")
        half.write_text(
            json.dumps(
                {
                    "per_s": tasks / wall_s,
                    "worker_cpu_us": cpu_s / tasks * 1e6,
                    "server_cpu_us": served_s / tasks * 1e6,
                }
            )
        )
        half.replace(self.path)
