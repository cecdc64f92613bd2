"""How many tasks a worker asks for, and where in the queues it looks. It sends nothing."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from millions.sdk.tasks.claim import Claim
    from millions.sdk.tasks.lane import Line
    from millions.sdk.tasks.registry import Registry
    from millions.sdk.tasks.runner import Runner

AHEAD_S = 0.1
"""A worker holds what it does in this time beyond what it runs."""

AHEAD_MAX = 1000
SMOOTHING = 0.3

UNLIMITED = 1_000_000
"""More tasks of one queue than a claim ever asks for."""

MARGIN = 4096
"""Numbers below the highest one claimed that are still looked at: a transaction that began
earlier may commit later. What commits later still is found when a claim looks from the start."""

FROM_THE_START_EVERY_S = 1.0
FROM_THE_START_SHARE = 20
"""Looking from the start walks over whatever vacuum has not removed yet: it may take this share
(1/20) of the time, no more, even when an old transaction keeps vacuum from removing anything."""


class Pace:
    """What a worker knows of the queues between two claims."""

    def __init__(
        self,
        registry: Registry,
        runner: Runner,
        queues: Sequence[str] | None,
        limits: Mapping[str, int],
    ) -> None:
        self.may_have_work = True
        self._limits = limits
        self._asked: dict[str, int] = {}
        self._full: set[str] = set()
        self._registry = registry
        self._runner = runner
        self._chosen = tuple(queues) if queues is not None else None
        self._queues: tuple[str, ...] = self._chosen or ()
        self._floors: dict[tuple[str, int], int] = {}
        self._start_at_s = 0.0
        self._from_the_start = True
        self._rate = 0.0
        self._finished = 0
        self._counted_at_s = time.monotonic()
        self._offered = 0

    @property
    def target(self) -> int:
        """How many tasks to hold."""
        return self._runner.concurrency + min(AHEAD_MAX, int(self._rate * AHEAD_S))

    def room(self) -> int:
        """How many more could be held."""
        return max(0, self.target - len(self._runner.ready) - len(self._runner.running))

    def wanted(self) -> int:
        """How many to claim now; 0 while enough are at hand, so that batches stay large."""
        if self._full and any(self._rooms()[queue] for queue in self._full):
            self.may_have_work = True
        if not self.may_have_work or len(self._runner.ready) > self.target // 2:
            return 0
        return self.room()

    def offered(self, queue: str, count: int) -> int:
        """Note that `queue` has more; answer how many of them there is room for."""
        if queue and queue not in self._look_up_queues():
            return 0
        self.may_have_work = True
        room = max(0, self.room() - self._offered)
        self._offered += min(count, room)
        return min(count, room)

    def look_from_the_start(self) -> None:
        """Look at the oldest tasks with the next claim."""
        self.may_have_work = True
        self._start_at_s = 0.0

    def looks_at(self) -> tuple[list[str], list[int]]:
        """The queues and the priorities that claims look at."""
        return list(self._look_up_queues()), list(self._registry.priorities())

    def lines(self) -> list[Line]:
        """Where the next claim looks: highest priority first, queues in turn."""
        now_s = time.monotonic()
        self._from_the_start = now_s >= self._start_at_s
        queues = self._look_up_queues()
        if self._from_the_start:
            self._floors.clear()
        if len(queues) > 1:
            self._queues = queues = (*queues[1:], queues[0])
        self.may_have_work = False  # what is offered from here on is a reason to ask again
        self._offered = 0
        self._asked = rooms = self._rooms()
        return [
            (queue, priority, self._floors.get((queue, priority), 0), rooms.get(queue, UNLIMITED))
            for priority in self._registry.priorities()
            for queue in queues
            if rooms.get(queue, UNLIMITED)
        ]

    def within_limits(self, claims: list[Claim]) -> list[Claim]:
        """Those of `claims`, most urgent first, that may run; the others are given back.

        A claim asks for each priority of a queue apart, so it may bring more than there is room.
        """
        rooms, kept = self._rooms(), list[Any]()
        if not rooms:
            return claims
        for claim in claims:
            if claim.queue in rooms:
                if not rooms[claim.queue]:
                    self._runner.return_claim(claim)
                    continue
                rooms[claim.queue] -= 1
            kept.append(claim)
        return kept

    def _rooms(self) -> dict[str, int]:
        """How many more tasks of each queue that has a limit may be held."""
        limits = dict(self._limits)
        for queue in self._registry.process_queues:
            limits[queue] = min(self._runner.processes, limits.get(queue, UNLIMITED))
        if not limits:
            return limits
        held = self._runner.held_by_queue()
        return {queue: max(0, most - held[queue]) for queue, most in limits.items()}

    def exchanged(self, claims: list[Claim], wanted: int, *, took_s: float, now_s: float) -> None:
        """Learn from what a claim of `wanted` tasks brought and how long it took."""
        self._measure(now_s)
        if not wanted:
            return
        if self._asked:
            brought = Counter(claim.queue for claim in claims)
            self._full = {queue for queue, room in self._asked.items() if brought[queue] >= room}
        if len(claims) >= wanted:
            self.may_have_work = True
        if self._from_the_start:
            pause_s = max(FROM_THE_START_EVERY_S, took_s * FROM_THE_START_SHARE)
            self._start_at_s = now_s + pause_s
        for claim in claims:
            line = (claim.queue, claim.priority)
            self._floors[line] = max(self._floors.get(line, 0), claim.id - MARGIN)

    def _measure(self, now_s: float) -> None:
        passed_s = now_s - self._counted_at_s
        if passed_s > 0:
            rate = (self._runner.finished - self._finished) / passed_s
            self._rate += SMOOTHING * (rate - self._rate)
            self._finished = self._runner.finished
            self._counted_at_s = now_s

    def _look_up_queues(self) -> tuple[str, ...]:
        if self._chosen is None and len(self._queues) != len(declared := self._registry.queues()):
            self._queues = declared
        return self._queues
