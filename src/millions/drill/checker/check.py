"""Checks a history: hands each operation to those who judge its kind, and joins what they say.

It reads once, line by line, and keeps what the judges need. It decides nothing itself.
"""

from __future__ import annotations

import gc
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from millions.drill.checker.cached import Cached
from millions.drill.checker.counters import Counters
from millions.drill.checker.failures import Failure, Failures
from millions.drill.checker.finding import Finding, Findings
from millions.drill.checker.registers import Registers
from millions.drill.checker.sessions import Sessions
from millions.drill.checker.sets import Sets
from millions.drill.checker.tasks import Tasks
from millions.drill.checker.timing import Around, Bucket, Gap, Latency, Times
from millions.drill.checker.transfers import Transfers
from millions.drill.history import Event, Header, Operation
from millions.errors import HistoryError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from millions.drill.history import Record

PROMISES = {
    "G1": "no acknowledged write is lost",
    "G2": "no request fails because of a planned change",
    "G3": "only requests in flight that may not be repeated fail, and nothing takes effect twice",
    "G4": "a user reads what the user wrote, and never older than what the user saw",
    "G5": "no read through a cache is older than a commit",
    "G6": "a committed task runs, a rolled-back one never does, each key takes effect once",
    "G9": "no request notices the death of the supervisor",
}
"""What a history can prove. Numbers are those of the documents."""

UNSAID = ("G1", "G3", "G4")
"""The promises of a history whose header names none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What came of it. `held` says of each promise whether it holds; None: nothing to judge by."""

    header: Header
    operations: int
    unknown: int
    seconds: float
    kinds: dict[str, int]
    held: dict[str, bool | None]
    findings: tuple[Finding, ...]
    failures: tuple[Failure, ...]
    gaps: tuple[Gap, ...]
    longest_gap: Gap | None
    latency: Latency
    events: tuple[Event, ...]
    around: tuple[Around, ...]
    line: tuple[Bucket, ...]
    ambiguous: int

    @property
    def well(self) -> bool:
        """Whether no promise is broken."""
        return all(each is not False for each in self.held.values())


def check(records: Iterable[Record], *, may_fail: str = "") -> Verdict:
    """Judge a whole history. `may_fail` overrules what its header says."""
    with _collector_rests():
        court = _Court()
        header = Header()
        events: list[Event] = []
        for record in records:
            if isinstance(record, Operation):
                court.hear(record)
            elif isinstance(record, Event):
                events.append(record)
            else:
                header = record
        events.sort(key=lambda each: each.at)
        return court.verdict(header, tuple(events), may_fail or header.may_fail)


@contextmanager
def _collector_rests() -> Generator[None]:
    """Keep Python from searching a million objects for cycles of which there are none."""
    ran = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if ran:
            gc.enable()


class _Court:
    """The judges, and whom each kind of operation goes to."""

    def __init__(self) -> None:
        self.registers, self.sets, self.transfers = Registers(), Sets(), Transfers()
        self.counters, self.tasks = Counters(), Tasks()
        self.sessions, self.cached = Sessions(self.registers), Cached(self.registers)
        self.failures, self.times = Failures(), Times()
        self.operations = self.unknown = 0
        self._answered: dict[str, Callable[[Operation], None]] = {
            "read": self._read,
            "members": self.sets.members,
            "balances": self.transfers.balances,
            "open": self.transfers.open,
            "cached": self.cached.read,
            "total": self.counters.total,
            "ran": self.tasks.ran,
        }
        self._always: dict[str, Callable[[Operation], None]] = {
            "write": self._write,
            "add": self.sets.add,
            "transfer": self.transfers.transfer,
            "count": self.counters.count,
            "enqueue": self.tasks.enqueue,
            "undone": self.tasks.undone,
        }

    def hear(self, operation: Operation) -> None:
        """Hand one operation on. Raise HistoryError when its value is not what its kind needs."""
        self.operations += 1
        self.times.note(operation)
        kind = operation.model
        if operation.outcome != "ok":
            self.failures.note(operation)
            self.unknown += operation.outcome == "unknown"
            judge = self._always.get(kind)
        else:
            judge = self._answered.get(kind) or self._always.get(kind)
        if judge is None:
            return
        try:
            judge(operation)
        except (TypeError, KeyError, AttributeError, ValueError) as error:
            raise HistoryError(
                cannot=f"judge line {operation.line}",
                because=f"the value of a {kind} cannot be {operation.value!r} ({error})",
                try_="docs/guides/drills.md shows what each kind holds",
            ) from error

    def _write(self, operation: Operation) -> None:
        self.registers.write(operation)
        if operation.outcome == "ok":
            self.sessions.wrote(operation)

    def _read(self, operation: Operation) -> None:
        self.sessions.read(operation, self.registers.read(operation))

    def verdict(self, header: Header, events: tuple[Event, ...], may_fail: str) -> Verdict:
        """Let each judge speak."""
        findings = Findings()
        promises = header.promises or UNSAID
        self.registers.find(findings)
        self.sessions.find(findings)
        self.sets.find(findings)
        self.transfers.find(findings)
        self.counters.find(findings)
        self.tasks.find(findings)
        self.cached.find(findings, header.cache_behind_s)
        blamed = next((each for each in ("G2", "G9", "G3") if each in promises), "G3")
        self.failures.find(findings, events, may_fail, blamed)
        found = findings.all()
        return Verdict(
            header=header,
            operations=self.operations,
            unknown=self.unknown,
            seconds=max(0.0, self.times.last - self.times.first) if self.operations else 0.0,
            kinds=self.times.kinds(),
            held=self._held(found, promises, may_fail),
            findings=found,
            failures=self.failures.table(events),
            gaps=self.times.gaps(),
            longest_gap=self.times.all_gap(),
            latency=self.times.latency(),
            events=events,
            around=self.times.around(events),
            line=self.times.line(),
            ambiguous=self.registers.ambiguous,
        )

    def _held(
        self, found: tuple[Finding, ...], promises: tuple[str, ...], may_fail: str
    ) -> dict[str, bool | None]:
        """Of each promise: broken, held, or nothing to judge it by."""
        broken = {each.promise for each in found}
        judges = (self.registers, self.sets, self.transfers, self.counters)
        wrote = sum(each.operations for each in judges)
        judged = {
            "G1": wrote > 0,
            "G4": self.sessions.reads > 0,
            "G5": self.cached.reads > 0,
            "G6": self.tasks.operations > 0,
            "G3": self.sets.operations > 0 or may_fail != "any",
            "G2": self.operations > 0 and may_fail != "any",
            "G9": self.operations > 0 and may_fail != "any",
        }
        held: dict[str, bool | None] = {}
        for each in (*promises, *sorted(broken - set(promises))):
            held[each] = False if each in broken else True if judged.get(each) else None
        return held
