"""Counters: whether each total holds what was counted, and nothing else.

`count` adds the amount that its value says, which is above 0, to a counter that begins at 0;
`total` reads it. A count of unknown outcome may be there or not; one that was said to have failed
may not. A total that promises only its session may lack what was counted a moment ago.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from millions.drill.checker import finding as f
from millions.drill.history import NUMBERS

if TYPE_CHECKING:
    from collections.abc import Callable

    from millions.drill.checker.finding import Findings
    from millions.drill.history import Operation


@dataclass(slots=True)
class Count:
    """One deed, of all its attempts together; `done` is infinite while it is not certain."""

    at: float
    done: float
    outcome: str
    amount: float


class Counters:
    """Takes in `count` and `total` operations."""

    def __init__(self) -> None:
        self._counted: dict[str, list[Count]] = {}
        self._by_key: dict[tuple[str, str], Count] = {}
        self._read: dict[str, list[Operation]] = {}
        self.operations = 0

    def count(self, operation: Operation) -> None:
        """Take in a count of any outcome. Raise ValueError when its amount is not above 0."""
        if type(operation.value) not in NUMBERS or not operation.value > 0:
            raise ValueError("an amount above 0 is needed")
        self.operations += 1
        known = operation.done if operation.outcome == "ok" else math.inf
        place = (operation.key, operation.idempotency)
        former = self._by_key.get(place) if operation.idempotency else None
        if former is not None:
            former.at, former.done = min(former.at, operation.at), min(former.done, known)
            if operation.outcome != former.outcome:
                ok = "ok" in (former.outcome, operation.outcome)
                former.outcome = "ok" if ok else "unknown"
            return
        made = Count(operation.at, known, operation.outcome, operation.value)
        self._counted.setdefault(operation.key, []).append(made)
        if operation.idempotency:
            self._by_key[place] = made

    def total(self, operation: Operation) -> None:
        """Take in an answered reading. Raise TypeError when it is no number."""
        if type(operation.value) not in NUMBERS:
            raise TypeError("a number is needed")
        self.operations += 1
        self._read.setdefault(operation.key, []).append(operation)

    def find(self, findings: Findings) -> None:
        """Say which totals lack an acknowledged count, or hold more than was counted."""
        for key, readings in self._read.items():
            counted = [each for each in self._counted.get(key, []) if each.outcome != "failed"]
            ends, certain = _sums(counted, lambda each: each.done)
            begins, possible = _sums(counted, lambda each: each.at)
            for reading in readings:
                low = certain[bisect_left(ends, reading.at)]
                high = possible[bisect_right(begins, reading.done)]
                words = f"line {reading.line}: {key} counts {reading.value:g}"
                if reading.value < low and reading.level == "linear":
                    said = f"{words}; {low:g} were acknowledged before"
                    findings.add("G1", f.LOST_COUNT, said)
                elif reading.value > high:
                    said = f"{words}; no more than {high:g} were ever asked for"
                    findings.add("G3", f.EXTRA_COUNT, said)


def _sums(counted: list[Count], when: Callable[[Count], float]) -> tuple[list[float], list[float]]:
    """The times in order, and the sum of the amounts before the first, second, … and after all."""
    ordered = sorted(counted, key=when)
    sums = accumulate((each.amount for each in ordered), initial=0.0)
    return [when(each) for each in ordered], list(sums)
