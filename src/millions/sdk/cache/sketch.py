"""Sketch: the names that were asked for most, in bounded memory. Pure.

Source: Metwally, Agrawal, El Abbadi, "Efficient Computation of Frequent and Top-k Elements in Data
Streams" (2005): a name that makes up more than 1/`room` of what was counted is never missed.
"""

from __future__ import annotations

ROOM = 256


class Sketch:
    """Counts names; of those it has no room for, the rarest is forgotten and its count goes on."""

    __slots__ = ("_counts", "_room", "total")

    def __init__(self, room: int = ROOM) -> None:
        self.total = 0
        self._room = room
        self._counts: dict[str, int] = {}

    def add(self, name: str, times: int = 1) -> None:
        """Count `name`."""
        counts = self._counts
        self.total += times
        if name in counts or len(counts) < self._room:
            counts[name] = counts.get(name, 0) + times
            return
        rarest = min(counts, key=counts.__getitem__)
        counts[name] = counts.pop(rarest) + times

    def fade(self) -> None:
        """Halve every count: what was asked for long ago matters less."""
        self.total //= 2
        self._counts = {name: count // 2 for name, count in self._counts.items() if count > 1}

    def above(self, share: float) -> frozenset[str]:
        """The names that make up more than that share of all, in no order."""
        least = self.total * share
        return frozenset(name for name, count in self._counts.items() if count > least)

    def top(self, number: int) -> list[tuple[str, float]]:
        """The most frequent names, each with its share of all."""
        ranked = sorted(self._counts.items(), key=lambda pair: (-pair[1], pair[0]))
        return [(name, count / self.total) for name, count in ranked[:number]] if self.total else []
