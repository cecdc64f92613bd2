"""Registers: whether one order of all writes and linear reads of a key explains each answer.

Exact for values written once, in O(n log n). It never guesses: a write of unknown outcome counts
as done only when somebody has read it, and a value that was written twice, with no idempotency key
to say that both are one deed, is left out together with its reads, which hides nothing else.

Source: Gibbons and Korach, Testing Shared Memories (SIAM J. Comput. 26, 1997): all operations of a
value form a zone, from the first end f to the last begin s. The history is linearizable if and only
if no read ended before its write began and no two zones A, B have f(A) < s(B) and f(B) < s(A).
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from millions.drill.checker import finding as f

if TYPE_CHECKING:
    from collections.abc import Iterator

    from millions.drill.checker.finding import Findings
    from millions.drill.history import Operation

SCALARS = (str, int, float, bool, type(None))


@dataclass(slots=True)
class Cluster:
    """Everything that is known of one value of one key.

    Of its write: `at`, `done` (infinite while nobody knows that it happened), `outcome` and `line`
    ('' and 0 when there was none). Of its linear reads: the first end, the last begin, and lines.
    `seen_until` is the last end of any read of it. Versions are -1 where no server told them.
    """

    value: Any
    at: float = math.inf
    done: float = math.inf
    outcome: str = ""
    line: int = 0
    idempotency: str = ""
    version: int = -1
    ambiguous: bool = False
    read_first: float = math.inf
    read_first_line: int = 0
    read_last: float = -math.inf
    read_last_line: int = 0
    seen_line: int = 0
    seen_first: float = math.inf
    seen_until: float = -math.inf

    @property
    def first_end(self) -> float:
        """The first end of any of its operations: from here on the value was there."""
        return min(self.done, self.read_first)

    @property
    def last_begin(self) -> float:
        """The last begin of any of its operations: until here the value was there."""
        return max(self.at, self.read_last)


class Registers:
    """Takes in `write` and `read` operations; `find` says what no order explains."""

    def __init__(self) -> None:
        self.keys: dict[str, dict[Any, Cluster]] = {}
        self.operations = 0
        self.ambiguous = 0

    def write(self, operation: Operation) -> None:
        """Take in a write of any outcome."""
        self.operations += 1
        found = self.cluster(operation.key, operation.value)
        known = operation.done if operation.outcome == "ok" else math.inf
        if not found.outcome:
            found.at, found.done, found.outcome = operation.at, known, operation.outcome
            found.line, found.idempotency = operation.line, operation.idempotency
        elif operation.idempotency and operation.idempotency == found.idempotency:
            _join(found, operation, known)
        else:
            found.ambiguous = True
            return
        if operation.version is not None:
            found.version = operation.version

    def read(self, operation: Operation) -> Cluster:
        """Take in a read that was answered; answer what is known of its value."""
        self.operations += 1
        found = self.cluster(operation.key, operation.value)
        if operation.done < found.seen_first:
            found.seen_first, found.seen_line = operation.done, operation.line
        found.seen_until = max(found.seen_until, operation.done)
        if operation.version is not None and found.version < 0:
            found.version = operation.version
        if operation.level == "linear":
            if operation.done < found.read_first:
                found.read_first, found.read_first_line = operation.done, operation.line
            if operation.at > found.read_last:
                found.read_last, found.read_last_line = operation.at, operation.line
        return found

    def shown(self, operation: Operation) -> Cluster:
        """Take in what a cache gave: it must have been written, and proves no more than that."""
        found = self.cluster(operation.key, operation.value)
        if operation.done < found.seen_first:
            found.seen_first, found.seen_line = operation.done, operation.line
        if operation.version is not None and found.version < 0:
            found.version = operation.version
        return found

    def cluster(self, key: str, value: Any) -> Cluster:
        """Answer what is known of this value; None stands for a key never written."""
        clusters = self.keys.get(key)
        if clusters is None:
            clusters = self.keys[key] = {}
        hashed = value if isinstance(value, SCALARS) else orjson.dumps(value)
        found = clusters.get(hashed)
        if found is None:
            found = clusters[hashed] = Cluster(value)
            if value is None:
                found.at = found.done = -math.inf
                found.outcome = "ok"
        return found

    def find(self, findings: Findings) -> None:
        """Say which reads nobody had written, and which acknowledged writes were lost."""
        for key, clusters in self.keys.items():
            certain: list[Cluster] = []
            for each in clusters.values():
                if each.ambiguous:
                    self.ambiguous += 1
                elif _is_phantom(each):
                    findings.add("G1", f.PHANTOM, _phantom(key, each))
                elif each.outcome == "ok" or each.read_last > -math.inf:
                    certain.append(each)
            for older, newer in _conflicts(certain):
                _tell(findings, key, older, newer, certain)


def _join(found: Cluster, operation: Operation, known: float) -> None:
    """Another attempt of the same deed: it happened once, between the first begin and an answer."""
    found.at = min(found.at, operation.at)
    found.done = min(found.done, known)
    if "ok" in (found.outcome, operation.outcome):
        found.outcome = "ok"
    elif operation.outcome != found.outcome:
        found.outcome = "unknown"


def _is_phantom(each: Cluster) -> bool:
    if each.seen_first == math.inf:
        return False
    return each.outcome in ("", "failed") or each.seen_first < each.at


def _phantom(key: str, each: Cluster) -> str:
    read = f"line {each.seen_line}: {each.value!r} was read from {key}"
    if not each.outcome:
        return f"{read}; nobody wrote it"
    if each.outcome == "failed":
        return f"{read}; its write (line {each.line}) was said to have failed"
    return f"{read} before its write (line {each.line}) began"


def _conflicts(clusters: list[Cluster]) -> Iterator[tuple[Cluster, Cluster]]:
    """Pairs (older write, newer write) which no order explains; each newer one once."""
    forward = sorted(
        (each for each in clusters if each.first_end < each.last_begin),
        key=lambda each: each.first_end,
    )
    firsts = [each.first_end for each in forward]
    longest: list[Cluster] = []
    for each in forward:
        longest.append(max(longest[-1], each, key=_last_begin) if longest else each)
    told: set[int] = set()
    for each in sorted(clusters, key=_last_begin):
        at = bisect_left(firsts, each.last_begin) - 1
        while at >= 0 and longest[at] is each:
            at = _before(longest, each, at)
        if at < 0 or not each.first_end < longest[at].last_begin:
            continue
        older, newer = sorted((each, longest[at]), key=lambda one: (one.at, one.done))
        if id(newer) not in told:
            told.add(id(newer))
            yield older, newer


def _before(longest: list[Cluster], each: Cluster, at: int) -> int:
    """The last place before `at` whose longest zone is another one than that of `each`."""
    while at >= 0 and longest[at] is each:
        at -= 1
    return at


def _last_begin(each: Cluster) -> float:
    return each.last_begin


def _tell(
    findings: Findings, key: str, older: Cluster, newer: Cluster, all_: list[Cluster]
) -> None:
    """Tell of a read of `older` that began after `newer` was there: is `newer` lost, or unseen."""
    words = (
        f"{key}: {newer.value!r} (line {newer.line}) was there at {newer.first_end:.3f} s;"
        f" line {older.read_last_line}, begun at {older.read_last:.3f} s,"
        f" still read {older.value!r}"
    )
    if _survived(older, newer, all_):
        findings.add("G4", f.STALE, words)
    else:
        findings.add("G1", f.LOST_WRITE, f"{words}, and nobody read it afterwards")


def _survived(older: Cluster, newer: Cluster, all_: list[Cluster]) -> bool:
    """Whether `newer` was certainly still there after the read of `older` began."""
    if newer.seen_until > older.read_last:
        return True
    if newer.version < 0:
        return False
    others = [each for each in all_ if each is not newer and each.version >= newer.version]
    return bool(others) and all(each.version != newer.version for each in others)
