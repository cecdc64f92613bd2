"""Failed requests: how many of which kind, whether a repeat was allowed, and whether they may fail.

Every attempt counts, also one whose repeat succeeded: somebody else (a balancer) should have
repeated it. It never judges a history whose header says that any request may fail.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from millions.drill.checker import finding as f

if TYPE_CHECKING:
    from collections.abc import Sequence

    from millions.drill.checker.finding import Findings
    from millions.drill.history import Event, Operation

CRASH_LASTS_S = 0.25
"""A request may reach the socket of a process that is dying within this long of the crash: such a
request counts as in flight."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Failures of one sort. `in_flight` were under way at a crash, `others` were not."""

    kind: str
    outcome: str
    status: str
    repeatable: bool
    in_flight: int
    others: int


class _Failed(NamedTuple):
    line: int
    at: float
    done: float
    kind: str
    outcome: str
    status: str
    repeatable: bool


class Failures:
    """Takes in operations that are not ok."""

    def __init__(self) -> None:
        self._failed: list[_Failed] = []

    def note(self, operation: Operation) -> None:
        """Take in one that failed, or whose outcome is unknown."""
        self._failed.append(
            _Failed(
                operation.line,
                operation.at,
                operation.done,
                operation.kind,
                operation.outcome,
                str(operation.status),
                operation.repeatable,
            )
        )

    def table(self, events: Sequence[Event]) -> tuple[Failure, ...]:
        """Count them by sort, the most frequent first."""
        crashes = _crashes(events)
        counts: dict[tuple[str, str, str, bool], Counter[bool]] = {}
        for each in self._failed:
            sort = (each.kind, each.outcome, each.status, each.repeatable)
            counts.setdefault(sort, Counter())[_in_flight(each, crashes)] += 1
        table = [
            Failure(
                kind=kind,
                outcome=outcome,
                status=status,
                repeatable=repeatable,
                in_flight=count[True],
                others=count[False],
            )
            for (kind, outcome, status, repeatable), count in counts.items()
        ]
        return tuple(sorted(table, key=lambda each: -each.in_flight - each.others))

    def find(
        self, findings: Findings, events: Sequence[Event], may_fail: str, promise: str
    ) -> None:
        """Say which failed that should not have."""
        if may_fail == "any":
            return
        crashes = _crashes(events)
        for each in self._failed:
            in_flight = _in_flight(each, crashes)
            if may_fail == "in-flight" and in_flight:
                continue
            if may_fail == "unrepeatable" and in_flight and not each.repeatable:
                continue
            findings.add(promise, f.FAILED, _words(each, in_flight=in_flight))


def _crashes(events: Sequence[Event]) -> list[tuple[float, float]]:
    """From when until when each crash hit what was in flight."""
    crashes = (each for each in events if not each.planned and not each.ends)
    return [(each.at, each.done + CRASH_LASTS_S) for each in crashes]


def _in_flight(failed: _Failed, crashes: list[tuple[float, float]]) -> bool:
    """Whether it was under way at a crash."""
    return any(failed.at <= until and failed.done >= at for at, until in crashes)


def _words(failed: _Failed, *, in_flight: bool) -> str:
    repeat = "it could have been repeated" if failed.repeatable else "it may not be repeated"
    when = "in flight at a crash" if in_flight else "not in flight at any crash"
    return (
        f"line {failed.line}: {failed.kind} begun at {failed.at:.3f} s: {failed.outcome}"
        f" ({failed.status or 'no answer'}), {when}; {repeat}"
    )
