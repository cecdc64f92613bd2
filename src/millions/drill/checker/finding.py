"""What a check finds: a promise that was broken, how often, and the first few cases in words."""

from __future__ import annotations

from dataclasses import dataclass, field

EXAMPLES_MAX = 5
"""Cases told in words; all are counted."""


@dataclass(slots=True, kw_only=True)
class Finding:
    """One kind of broken promise. `promise` is its number (G1), `title` what happened."""

    promise: str
    title: str
    count: int = 0
    examples: list[str] = field(default_factory=list[str])


class Findings:
    """Collects findings by kind."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], Finding] = {}

    def add(self, promise: str, title: str, example: str) -> None:
        """Count one case."""
        finding = self._found.setdefault((promise, title), Finding(promise=promise, title=title))
        finding.count += 1
        if len(finding.examples) < EXAMPLES_MAX:
            finding.examples.append(example)

    def all(self) -> tuple[Finding, ...]:
        """Everything that was found, by promise."""
        return tuple(self._found[key] for key in sorted(self._found))


LOST_WRITE = "lost acknowledged writes"
PHANTOM = "values that nobody had written"
STALE = "stale reads"
OWN_WRITE = "users who did not read what they wrote"
WENT_BACK = "users who read something older than before"
LOST_ELEMENT = "lost acknowledged additions"
STALE_SET = "additions missing for a while"
PHANTOM_ELEMENT = "elements that nobody had added"
DUPLICATE = "additions that took effect twice"
SUM = "sums that do not hold"
BALANCE = "balances that the transfers do not explain"
OLD_CACHED = "reads through the cache older than a commit"
LOST_COUNT = "acknowledged counts that are missing"
EXTRA_COUNT = "counts that took effect twice, or that nobody made"
NEVER_RAN = "tasks of committed transactions that never ran"
UNDONE_RAN = "tasks of rolled-back transactions that ran"
STRANGE_TASK = "tasks that ran and that nobody had enqueued"
TWICE_RAN = "keys of tasks that took effect twice"
FAILED = "failed requests that should not have failed"
