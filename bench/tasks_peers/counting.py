"""What producers, workers and the bench write down of tasks, in one file that all of them map.

It uses nothing but the standard library, for every peer imports it in its own environment.
"""

from __future__ import annotations

import asyncio
import fcntl
import mmap
import os
import struct
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

SLOTS = 16
"""Worker processes at most."""

HEAD = SLOTS * 16
PAIR = struct.Struct("QQ")


class Board:
    """A slot a worker process, and for each task when it was sent and when it ran.

    Times are those of `perf_counter`, which all processes of a machine share on Linux.
    """

    def __init__(self, path: Path, tasks: int, *, new: bool = False) -> None:
        size = HEAD + tasks * 16
        if new:
            path.write_bytes(bytes(size))
        self.file = path.open("r+b")
        self.map = mmap.mmap(self.file.fileno(), size)
        times = memoryview(self.map)[HEAD:].cast("d")
        self.sent, self.ran = times[:tasks], times[tasks:]
        self.counts = memoryview(self.map)[:HEAD].cast("Q")

    def take_slot(self) -> int:
        """Where this process counts."""
        fcntl.flock(self.file, fcntl.LOCK_EX)
        try:
            at = next(at for at in range(0, SLOTS * 2, 2) if not self.counts[at])
            self.counts[at] = os.getpid()
        finally:
            fcntl.flock(self.file, fcntl.LOCK_UN)
        return at + 1

    def workers(self) -> dict[int, int]:
        """How many tasks each process ran, by pid."""
        pairs = PAIR.iter_unpack(self.map[:HEAD])
        return dict(pair for pair in pairs if pair[0])


def board() -> Board:
    """The one of this run."""
    return Board(Path(os.environ["BENCH_BOARD"]), int(os.environ["BENCH_TASKS"]))


class Counter:
    """`count()` is what the measured task does, and all it does."""

    def __init__(self) -> None:
        self.board = board()
        self.noted = bool(os.environ.get("BENCH_NOTED"))
        self.takes_s = float(os.environ.get("BENCH_TAKES_S", "0"))
        self.lock = threading.Lock()
        self.slot = 0

    def count(self, number: int) -> None:
        """Count one task; note when it began, or ended where it takes time."""
        if self.takes_s:
            time.sleep(self.takes_s)
        if self.noted:
            self.board.ran[number] = time.perf_counter()
        with self.lock:
            if not self.slot:
                self.slot = self.board.take_slot()
            self.board.counts[self.slot] += 1


class Sending:
    """The numbers of the tasks to send, at a steady rate or as fast as they are taken."""

    def __init__(self, count: int) -> None:
        self.board = board()
        self.count = count
        self.rate = float(os.environ.get("BENCH_RATE", "0"))
        self.began_s = time.perf_counter()

    def __iter__(self) -> Iterator[int]:
        for number in range(self.count):
            if wait_s := self.wait_s(number):
                time.sleep(wait_s)
            self.board.sent[number] = time.perf_counter()
            yield number

    async def __aiter__(self) -> AsyncIterator[int]:
        for number in range(self.count):
            if wait_s := self.wait_s(number):
                await asyncio.sleep(wait_s)
            self.board.sent[number] = time.perf_counter()
            yield number

    def wait_s(self, number: int) -> float:
        """Until it is this one's turn."""
        if not self.rate:
            return 0.0
        return max(0.0, self.began_s + number / self.rate - time.perf_counter())
