"""A client that never stops writing, finds the primary itself, and remembers every answer."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Self

import psycopg

if TYPE_CHECKING:
    from collections.abc import Iterable

TABLE = (
    "CREATE TABLE IF NOT EXISTS written (writer text, number bigint, PRIMARY KEY (writer, number))"
)
AGAIN_S = 0.005


@dataclass(slots=True, kw_only=True)
class Writer:
    """Inserts one row after the other. `acknowledged` pairs each number with when it was so."""

    conninfo: str
    name: str
    acknowledged: list[tuple[int, float]] = field(default_factory=list)
    unknown: list[int] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    _ended: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        assert self._thread is not None
        self._thread.join(timeout=30)
        assert not self._thread.is_alive(), "the writer hangs"

    def gap_s(self, since: float) -> float:
        """The longest time without an acknowledged row after `since` (monotonic), until now."""
        times = [since, *(at for _, at in self.acknowledged if at >= since), time.monotonic()]
        return max(after - before for before, after in pairwise(times))

    def faults(self, stored: Iterable[int]) -> list[str]:
        """What is wrong with the rows that are there now, which must be listed with duplicates."""
        rows = list(stored)
        there = set(rows)
        known = {number for number, _ in self.acknowledged}
        found = [f"lost {number}" for number in sorted(known - there)]
        found += [f"twice {number}" for number in there if rows.count(number) > 1][:10]
        found += [f"invented {number}" for number in there - known - set(self.unknown)]
        return found

    def _work(self) -> None:
        number = 0
        while not self._ended.is_set():
            try:
                with psycopg.connect(self.conninfo, autocommit=True) as connection:
                    while not self._ended.is_set():
                        number += 1
                        self.unknown.append(number)
                        self._insert(connection, number)
                        self.unknown.pop()
                        self.acknowledged.append((number, time.monotonic()))
            except psycopg.Error as error:
                self.errors.append(f"{type(error).__name__}: {error}".strip())
                self._ended.wait(AGAIN_S)

    def _insert(self, connection: psycopg.Connection, number: int) -> None:
        connection.execute("INSERT INTO written VALUES (%s, %s)", (self.name, number))
