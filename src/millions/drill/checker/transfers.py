"""Transfers: whether the sum holds, and each balance follows from the transfers.

`transfer` moves value["amount"] from value["from"] to value["to"]; `balances` reads all accounts of
a key at once. A transfer of unknown outcome may be in a balance or not. It judges balances only
where it knows what was there at first: `open`, or a reading before any transfer began.

Source: the bank test of Jepsen; the bounds for each balance are ours.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from millions.drill.checker import finding as f
from millions.drill.history import NUMBERS

if TYPE_CHECKING:
    from millions.drill.checker.finding import Findings
    from millions.drill.history import Operation

Balances = dict[str, float]


@dataclass(slots=True)
class Transfer:
    """One deed, of all its attempts together; `done` is infinite while it is not certain."""

    at: float
    done: float
    outcome: str
    giver: str
    taker: str
    amount: float


class Reading(NamedTuple):
    """All balances, read at once."""

    line: int
    at: float
    done: float
    linear: bool
    balances: Balances


class Transfers:
    """Takes in `open`, `transfer` and `balances` operations."""

    def __init__(self) -> None:
        self._made: dict[str, list[Transfer]] = defaultdict(list)
        self._by_key: dict[tuple[str, str], Transfer] = {}
        self._read: dict[str, list[Reading]] = defaultdict(list)
        self._opened: dict[str, Balances] = {}
        self.operations = 0

    def open(self, operation: Operation) -> None:
        """Take in the first balances."""
        if operation.outcome == "ok":
            self._opened[operation.key] = _balances(operation.value)

    def transfer(self, operation: Operation) -> None:
        """Take in a transfer of any outcome."""
        self.operations += 1
        known = operation.done if operation.outcome == "ok" else math.inf
        idempotency = operation.idempotency
        former = self._by_key.get((operation.key, idempotency)) if idempotency else None
        if former is not None:
            former.at, former.done = min(former.at, operation.at), min(former.done, known)
            if operation.outcome != former.outcome:
                ok = "ok" in (former.outcome, operation.outcome)
                former.outcome = "ok" if ok else "unknown"
            return
        value: Any = operation.value
        made = Transfer(
            operation.at,
            known,
            operation.outcome,
            str(value["from"]),
            str(value["to"]),
            _amount(value["amount"]),
        )
        self._made[operation.key].append(made)
        if idempotency:
            self._by_key[operation.key, idempotency] = made

    def balances(self, operation: Operation) -> None:
        """Take in an answered reading of all accounts."""
        self.operations += 1
        self._read[operation.key].append(
            Reading(
                operation.line,
                operation.at,
                operation.done,
                operation.level == "linear",
                _balances(operation.value),
            )
        )

    def find(self, findings: Findings) -> None:
        """Say which readings no set of transfers explains."""
        for key, readings in self._read.items():
            readings.sort(key=lambda each: each.at)
            made = self._made.get(key, [])
            first = self._opened.get(key) or _first(readings, made)
            total = sum((first or readings[0].balances).values())
            for reading in readings:
                held = sum(reading.balances.values())
                if held != total:
                    words = f"line {reading.line}: the accounts of {key} hold {held}, not {total}"
                    findings.add("G1", f.SUM, words)
            if first is not None:
                _find_unexplained(findings, key, first, made, readings)


def _balances(value: Any) -> Balances:
    return {str(name): _amount(amount) for name, amount in value.items()}


def _amount(value: Any) -> float:
    if type(value) not in NUMBERS:
        raise TypeError(f"{value!r} is no amount")
    return value  # type: ignore[no-any-return]  # checked above


def _first(readings: list[Reading], made: list[Transfer]) -> Balances | None:
    """The first reading, if it was done before any transfer began."""
    began = min((each.at for each in made), default=math.inf)
    return readings[0].balances if readings[0].done < began else None


class _Sweep:
    """Adds up what each account must have got, and what it may have got, as time goes on."""

    def __init__(self, made: list[Transfer]) -> None:
        possible = [each for each in made if each.outcome != "failed"]
        self._by_begin = sorted(possible, key=lambda each: each.at)
        self._by_end = sorted(possible, key=lambda each: each.done)
        self._begun = self._ended = 0
        self.must: Balances = defaultdict(float)
        self.may_get: Balances = defaultdict(float)
        self.may_give: Balances = defaultdict(float)

    def end(self, until: float) -> None:
        """Transfers done before `until` are certain from now on."""
        while self._ended < len(self._by_end) and self._by_end[self._ended].done < until:
            each = self._by_end[self._ended]
            self._ended += 1
            self.must[each.taker] += each.amount
            self.must[each.giver] -= each.amount
            self.may_get[each.taker] -= each.amount
            self.may_give[each.giver] -= each.amount

    def begin(self, until: float) -> None:
        """Transfers begun by `until` may be there."""
        while self._begun < len(self._by_begin) and self._by_begin[self._begun].at <= until:
            each = self._by_begin[self._begun]
            self._begun += 1
            self.may_get[each.taker] += each.amount
            self.may_give[each.giver] += each.amount


def _find_unexplained(
    findings: Findings,
    key: str,
    first: Balances,
    made: list[Transfer],
    readings: list[Reading],
) -> None:
    ended, begun = _Sweep(made), _Sweep(made)
    lower_first = sorted((each for each in readings if each.linear), key=lambda each: each.done)
    begun_by: dict[int, tuple[Balances, Balances]] = {}
    for reading in lower_first:
        begun.begin(reading.done)
        begun_by[reading.line] = (dict(begun.may_get), dict(begun.may_give))
    for reading in sorted(lower_first, key=lambda each: each.at):
        ended.end(reading.at)
        got, given = begun_by[reading.line]
        for name in sorted({*first, *reading.balances}):
            certain = first.get(name, 0) + ended.must[name]
            low = certain - given.get(name, 0) - ended.may_give[name]
            high = certain + got.get(name, 0) + ended.may_get[name]
            held = reading.balances.get(name, 0)
            if not low <= held <= high:
                words = (
                    f"line {reading.line}: account {name} of {key} holds {held}; its transfers"
                    f" explain {low:g} to {high:g}"
                )
                findings.add("G1", f.BALANCE, words)
