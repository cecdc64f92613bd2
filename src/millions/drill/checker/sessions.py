"""Sessions: whether each user reads what the user wrote, and never older than what was seen.

It compares two values only where their order is certain: by the versions that the server told, or
because one write was done before the other began. It never compares operations that overlap.

Source: Terry et al., Session Guarantees for Weakly Consistent Replicated Data (PDIS 1994): read
your writes, monotonic reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from millions.drill.checker import finding as f

if TYPE_CHECKING:
    from millions.drill.checker.finding import Findings
    from millions.drill.checker.registers import Cluster, Registers
    from millions.drill.history import Operation


@dataclass(slots=True)
class Mark:
    """The newest that a user knows of a key: which value, since when, and where it stands."""

    cluster: Cluster
    done: float
    line: int


class Sessions:
    """Follows users through a history in the order of their lines."""

    def __init__(self, registers: Registers) -> None:
        self._registers = registers
        self._written: dict[tuple[str, str], Mark] = {}
        self._seen: dict[tuple[str, str], Mark] = {}
        self._later: list[tuple[str, Operation, Cluster, Mark]] = []
        self.reads = 0

    def wrote(self, operation: Operation) -> None:
        """Take in an acknowledged write; the registers know it already."""
        key = (operation.user, operation.key)
        cluster = self._registers.cluster(operation.key, operation.value)
        former = self._written.get(key)
        if former is None or former.done <= operation.at:
            self._written[key] = Mark(cluster, operation.done, operation.line)

    def read(self, operation: Operation, cluster: Cluster) -> None:
        """Take in an answered read of `cluster`."""
        self.reads += 1
        key = (operation.user, operation.key)
        for title, marks in ((f.OWN_WRITE, self._written), (f.WENT_BACK, self._seen)):
            mark = marks.get(key)
            if mark is None or mark.cluster is cluster or mark.done > operation.at:
                continue
            if not _is_known(cluster, mark.cluster) or is_older(cluster, mark.cluster):
                self._later.append((title, operation, cluster, mark))
        former = self._seen.get(key)
        if former is None or former.done <= operation.at:
            self._seen[key] = Mark(cluster, operation.done, operation.line)

    def find(self, findings: Findings) -> None:
        """Say who did not read what they wrote, or read something older than before."""
        told: set[int] = set()
        for title, operation, cluster, mark in self._later:
            if operation.line not in told and is_older(cluster, mark.cluster):
                told.add(operation.line)
                findings.add("G4", title, _words(operation, cluster, mark))


def _is_known(cluster: Cluster, other: Cluster) -> bool:
    """Whether their order can be told already, or only at the end of the history."""
    if cluster.version >= 0 and other.version >= 0:
        return True
    return cluster.outcome == "ok" and other.outcome == "ok"


def is_older(cluster: Cluster, than: Cluster) -> bool:
    """Whether the value is certainly older than the other one."""
    if cluster.ambiguous or than.ambiguous:
        return False
    if cluster.version >= 0 and than.version >= 0:
        return cluster.version < than.version
    return cluster.done < than.at and than.outcome != ""


def _words(operation: Operation, cluster: Cluster, mark: Mark) -> str:
    return (
        f"line {operation.line}: {operation.user} read {cluster.value!r} from {operation.key};"
        f" at line {mark.line} the same user had {mark.cluster.value!r}, which is newer"
    )
