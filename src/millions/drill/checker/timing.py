"""Times: the longest gap of each kind of operation, latencies around each event, the time line.

It keeps two numbers an operation and judges nothing. Times are seconds.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from millions.drill.history import Event, Operation

AROUND_S = 10.0
"""How long before an event and after its end latencies are taken from."""

LASTS_S = 5.0
"""How long an event lasts that no other event ends."""

BUCKETS = 240
"""Points of the time line, at most."""

SHORTEST_BUCKET_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """The longest time without a good answer of a kind, from `at` on.

    It may last to the end: until the last that was asked of this kind had failed, or, where an
    answer never came, until the history ends.
    """

    kind: str
    at: float
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Latencies of good answers in one stretch of time, in seconds."""

    count: int
    p50: float
    p90: float
    p99: float
    p999: float
    worst: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """Latencies before, during and after one event."""

    event: str
    aim: str
    at: float
    until: float
    before: Latency
    during: Latency
    after: Latency


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """One point of the time line: answers that ended in it. Latencies are of the good ones."""

    at: float
    good: int
    failed: int
    p50: float
    p99: float


class Times:
    """Takes in every operation."""

    def __init__(self) -> None:
        self._good: dict[str, tuple[array[float], array[float]]] = {}
        self._bad = array("d")
        self._asked: dict[str, tuple[float, float]] = {}
        self.first = math.inf
        self.last = -math.inf

    def note(self, operation: Operation) -> None:
        """Take in one operation of any outcome."""
        at, done = operation.at, operation.done
        self.first = min(self.first, at)
        if self.last < done < math.inf:
            self.last = done
        if operation.outcome != "ok":
            self._bad.append(done if done < math.inf else at)
            begun, ended = self._asked.get(operation.kind, (at, done))
            self._asked[operation.kind] = (min(begun, at), max(ended, done))
            return
        found = self._good.get(operation.kind)
        if found is None:
            found = self._good[operation.kind] = (array("d"), array("d"))
        found[0].append(at)
        found[1].append(done)

    def kinds(self) -> dict[str, int]:
        """Good answers of each kind; 0 for one that was never answered well."""
        return {kind: len(self._of(kind)[1]) for kind in self._names()}

    def gaps(self) -> tuple[Gap, ...]:
        """The longest gap of each kind, between its first begin and the end of its last."""
        found: list[Gap] = []
        for kind in self._names():
            begun, done = self._of(kind)
            first, last = self._asked.get(kind, (math.inf, -math.inf))
            ends = [*sorted(done), min(last, self._end)]
            found.append(_gap(kind, min((first, *begun)), ends))
        return tuple(found)

    def all_gap(self) -> Gap | None:
        """The longest time without any good answer at all."""
        done = sorted(each for _, ends in self._good.values() for each in ends)
        return _gap("all", self.first, [*done, self._end]) if self._names() else None

    @property
    def _end(self) -> float:
        """When the history ends: the last answer, or the last begin if that is later."""
        return max((self.last, *self._bad))

    def _names(self) -> list[str]:
        return sorted({*self._good, *self._asked})

    def _of(self, kind: str) -> tuple[array[float], array[float]]:
        return self._good.get(kind) or (array("d"), array("d"))

    def latency(self) -> Latency:
        """Latencies of all good answers."""
        return _latency([done - at for at, done in self._ended()])

    def around(self, events: Sequence[Event]) -> tuple[Around, ...]:
        """Latencies around each event that does not end another one."""
        ended = sorted((done, done - at) for at, done in self._ended())
        ends = [done for done, _ in ended]
        until = {each.ends: each.at for each in events if each.ends}
        found: list[Around] = []
        for each in events:
            if each.ends:
                continue
            end = until.get(each.id, each.at + LASTS_S)
            marks = (each.at - AROUND_S, each.at, end, end + AROUND_S)
            cuts = [bisect_left(ends, mark) for mark in marks]
            before, during, after = (
                _latency([taken for _, taken in ended[low:high]]) for low, high in pairwise(cuts)
            )
            found.append(
                Around(
                    event=each.event,
                    aim=each.aim,
                    at=each.at,
                    until=end,
                    before=before,
                    during=during,
                    after=after,
                )
            )
        return tuple(found)

    def line(self) -> tuple[Bucket, ...]:
        """The time line, from the first begin to the last end."""
        if not self.first < self.last:
            return ()
        width = max(SHORTEST_BUCKET_S, (self.last - self.first) / BUCKETS)
        count = int((self.last - self.first) / width) + 1
        good: list[list[float]] = [[] for _ in range(count)]
        for at, done in self._ended():
            good[int((done - self.first) / width)].append(done - at)
        failed = [0] * count
        for done in self._bad:
            failed[min(count - 1, int((done - self.first) / width))] += 1
        return tuple(
            _bucket(self.first + number * width, taken, failed[number])
            for number, taken in enumerate(good)
        )

    def _ended(self) -> list[tuple[float, float]]:
        return [pair for at, done in self._good.values() for pair in zip(at, done, strict=True)]


def _gap(kind: str, begun: float, done: list[float]) -> Gap:
    at, longest, before = begun, 0.0, begun
    for each in done:
        if each - before > longest:
            at, longest = before, each - before
        before = each
    return Gap(kind=kind, at=at, seconds=longest)


def _latency(taken: list[float]) -> Latency:
    taken.sort()
    return Latency(
        count=len(taken),
        p50=_share(taken, 0.5),
        p90=_share(taken, 0.9),
        p99=_share(taken, 0.99),
        p999=_share(taken, 0.999),
        worst=taken[-1] if taken else 0.0,
    )


def _bucket(at: float, taken: list[float], failed: int) -> Bucket:
    taken.sort()
    return Bucket(
        at=at, good=len(taken), failed=failed, p50=_share(taken, 0.5), p99=_share(taken, 0.99)
    )


def _share(ordered: list[float], share: float) -> float:
    """The value that this share of them keeps to (nearest rank); 0 when there is none."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else 0.0
