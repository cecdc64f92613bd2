"""Cached values: whether a read through a cache was older than a commit that it must know of.

A `cached` read gives a value of the register that `write` operations change. A cache may be behind
by a stated time (`cache_behind_s` of the header): a read that began later than that after a newer
value was acknowledged must not give an older one. Two values are compared only where their order is
certain, as in `sessions`. What a cache shows proves nothing about the register itself.

Source: the judge of G5 in `tests/conformance/sdk/cache`.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from millions.drill.checker import finding as f
from millions.drill.checker.sessions import is_older

if TYPE_CHECKING:
    from millions.drill.checker.finding import Findings
    from millions.drill.checker.registers import Cluster, Registers
    from millions.drill.history import Operation


class Cached:
    """Takes in answered `cached` reads; the registers know the writes."""

    def __init__(self, registers: Registers) -> None:
        self._registers = registers
        self._read: dict[str, list[tuple[Operation, Cluster]]] = {}
        self.reads = 0

    def read(self, operation: Operation) -> None:
        """Take in an answered read through a cache."""
        self.reads += 1
        cluster = self._registers.shown(operation)
        self._read.setdefault(operation.key, []).append((operation, cluster))

    def find(self, findings: Findings, behind_s: float) -> None:
        """Say which reads were older than a commit of more than `behind_s` before."""
        for key, reads in self._read.items():
            writes = sorted(
                (
                    each
                    for each in self._registers.keys.get(key, {}).values()
                    if each.outcome == "ok" and not each.ambiguous
                ),
                key=lambda each: each.done,
            )
            newest = _Newest(writes)
            for operation, cluster in reads:
                newer = newest.than(cluster, before=operation.at - behind_s)
                if newer is not None:
                    findings.add("G5", f.OLD_CACHED, _words(operation, newer))


class _Newest:
    """Of the writes acknowledged by some time: the highest version, and the last that began."""

    def __init__(self, writes: list[Cluster]) -> None:
        self._done = [each.done for each in writes]
        self._version: list[Cluster] = []
        self._begun: list[Cluster] = []
        for each in writes:
            version = max((*self._version[-1:], each), key=lambda one: one.version)
            begun = max((*self._begun[-1:], each), key=lambda one: one.at)
            self._version.append(version)
            self._begun.append(begun)

    def than(self, cluster: Cluster, *, before: float) -> Cluster | None:
        """A write that is certainly newer than `cluster` and was acknowledged before then."""
        at = bisect_left(self._done, before) - 1
        if at < 0:
            return None
        found = (self._version[at], self._begun[at])
        return next((each for each in found if is_older(cluster, each)), None)


def _words(operation: Operation, newer: Cluster) -> str:
    return (
        f"line {operation.line}: the cache gave {operation.value!r} for {operation.key} at"
        f" {operation.at:.3f} s; {newer.value!r} (line {newer.line}) was acknowledged"
        f" {operation.at - newer.done:.3f} s before"
    )
