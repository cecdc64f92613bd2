"""Tasks: whether what was committed ran, what was rolled back did not, each key took effect once.

`enqueue` commits a task whose value names its key; `undone` is one whose transaction was rolled
back for certain; `ran` lists the keys of all effects. A task may run at any time after its commit,
so only a linear `ran`, taken when none is left, says that one never ran.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple, cast

from millions.drill.checker import finding as f

if TYPE_CHECKING:
    from millions.drill.checker.finding import Findings
    from millions.drill.history import Operation

RANK = {"failed": 0, "unknown": 1, "ok": 2}
"""Several attempts of one key: what is most certain to have happened counts."""


class Task(NamedTuple):
    """One key: its first begin, and the most that is known of its transactions."""

    at: float
    outcome: str
    line: int


class Tasks:
    """Takes in `enqueue`, `undone` and `ran` operations."""

    def __init__(self) -> None:
        self._asked: dict[str, dict[str, Task]] = {}
        self._undone: dict[str, dict[str, int]] = {}
        self._read: dict[str, list[Operation]] = {}
        self.operations = 0

    def enqueue(self, operation: Operation) -> None:
        """Take in a transaction of any outcome that enqueues a task."""
        self.operations += 1
        asked = self._asked.setdefault(operation.key, {})
        found = Task(operation.at, operation.outcome, operation.line)
        former = asked.get(_name(operation.value), found)
        known = max(former, found, key=lambda each: RANK[each.outcome])
        asked[operation.value] = known._replace(at=min(former.at, found.at))

    def undone(self, operation: Operation) -> None:
        """Take in a transaction that is rolled back, whatever its answer was."""
        self.operations += 1
        self._undone.setdefault(operation.key, {})[_name(operation.value)] = operation.line

    def ran(self, operation: Operation) -> None:
        """Take in an answered list of all effects. Raise TypeError when it is none."""
        if not isinstance(operation.value, list):
            raise TypeError("a list is needed")
        self.operations += 1
        self._read.setdefault(operation.key, []).append(operation)

    def find(self, findings: Findings) -> None:
        """Say what never ran, what ran and must not, and what took effect twice."""
        for key, readings in self._read.items():
            told: set[str] = set()
            asked, undone = self._asked.get(key, {}), self._undone.get(key, {})
            for reading in readings:
                effects = Counter(cast("list[str]", reading.value))
                for value, times in effects.items():
                    title = _wrong(asked.get(value), undone.get(value), times, reading)
                    if title and value not in told:
                        told.add(value)
                        words = f"line {reading.line}: {key} holds {value!r} {times} times"
                        findings.add("G6", title, words)
                if reading.level == "linear":
                    _find_missing(findings, asked, effects, reading)


def _wrong(task: Task | None, undone: int | None, times: int, reading: Operation) -> str:
    """What is wrong with an effect; '' when nothing is."""
    if task is None or task.outcome == "failed" or task.at > reading.done:
        return f.UNDONE_RAN if undone is not None else f.STRANGE_TASK
    return f.TWICE_RAN if times > 1 else ""


def _find_missing(
    findings: Findings, asked: dict[str, Task], effects: Counter[str], reading: Operation
) -> None:
    for value, task in asked.items():
        if task.outcome == "ok" and value not in effects and task.at < reading.at:
            words = f"line {reading.line}: {value!r} (line {task.line}) was committed"
            findings.add("G6", f.NEVER_RAN, words)


def _name(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("a text is needed")
    return value
