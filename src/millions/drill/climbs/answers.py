"""All answers of a history by the time of their end, to say what any stretch of it was like. Pure.

Two numbers an answer; times are seconds.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from millions.drill.checker.timing import BUCKETS, SHORTEST_BUCKET_S, Bucket
from millions.drill.history import Operation

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from millions.drill.history import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What a stretch of time was like.

    `pause` is the longest time without a good answer that touches it, `worst` the slowest one.
    """

    seconds: float
    good: int
    failed: int
    p50: float
    p99: float
    worst: float
    pause: float

    @property
    def rate(self) -> float:
        """Good answers a second."""
        return self.good / self.seconds if self.seconds > 0 else 0.0


class Answers:
    """Takes in a history as it passes by."""

    def __init__(self) -> None:
        self._pairs: list[tuple[float, float]] = []
        self._done = array("d")
        self._taken = array("d")
        self._bad: list[float] = []

    def passing(self, records: Iterable[Record]) -> Iterator[Record]:
        """Hand on what is read, and note each answer; ready to be asked when all has passed."""
        for each in records:
            if isinstance(each, Operation):
                if each.outcome == "ok":
                    self._pairs.append((each.done, each.done - each.at))
                else:
                    self._bad.append(each.done if each.done < math.inf else each.at)
            yield each
        self._pairs.sort()
        self._done = array("d", (done for done, _ in self._pairs))
        self._taken = array("d", (taken for _, taken in self._pairs))
        self._pairs.clear()
        self._bad.sort()

    def between(self, began: float, ended: float) -> Figures:
        """Answer what came of the requests whose answers ended in a stretch of time."""
        low, high = bisect_left(self._done, began), bisect_right(self._done, ended)
        taken = sorted(self._taken[low:high])
        around = self._done[max(0, low - 1) : high + 1]
        return Figures(
            seconds=ended - began,
            good=high - low,
            failed=bisect_right(self._bad, ended) - bisect_left(self._bad, began),
            p50=_share(taken, 0.5),
            p99=_share(taken, 0.99),
            worst=taken[-1] if taken else 0.0,
            pause=max((b - a for a, b in pairwise(around)), default=0.0),
        )

    def line(self, began: float, until: float) -> tuple[Bucket, ...]:
        """Answer the time line from `began` to `until`, in equal steps."""
        width = max(SHORTEST_BUCKET_S, (until - began) / BUCKETS)
        count = max(1, math.ceil((until - began) / width))
        edges = [began + number * width for number in range(count + 1)]
        return tuple(self._bucket(low, high) for low, high in pairwise(edges))

    def _bucket(self, low: float, high: float) -> Bucket:
        taken = sorted(self._taken[bisect_left(self._done, low) : bisect_left(self._done, high)])
        return Bucket(
            at=low,
            good=len(taken),
            failed=bisect_left(self._bad, high) - bisect_left(self._bad, low),
            p50=_share(taken, 0.5),
            p99=_share(taken, 0.99),
        )


def _share(ordered: list[float], share: float) -> float:
    """The value that this share of them keeps to (nearest rank); 0 when there is none."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else 0.0
