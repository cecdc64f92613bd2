"""Grow-only sets: whether what was added is there for ever, once, and nothing else.

An addition of unknown outcome may be there or not; one that was said to have failed may not. It
judges whole readings (`members`) only.

Source: `set-full` of Jepsen's checkers: an element that is missing and comes back was stale, one
that never comes back is lost.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from millions.drill.checker import finding as f
from millions.drill.checker.registers import SCALARS

if TYPE_CHECKING:
    from millions.drill.checker.finding import Findings
    from millions.drill.history import Operation


@dataclass(slots=True)
class Element:
    """An addition: its first begin, and `done`, infinite while nobody knows that it happened."""

    at: float
    done: float
    outcome: str
    line: int
    idempotency: str
    ambiguous: bool = False


class Reading(NamedTuple):
    """A whole reading of a set; `linear` readings must hold what was done before they began."""

    line: int
    at: float
    done: float
    linear: bool
    members: list[Any]


class Sets:
    """Takes in `add` and `members` operations."""

    def __init__(self) -> None:
        self._added: dict[str, dict[Any, Element]] = {}
        self._read: dict[str, list[Reading]] = {}
        self.operations = 0

    def add(self, operation: Operation) -> None:
        """Take in an addition of any outcome; attempts of one deed are one addition."""
        self.operations += 1
        elements = self._added.setdefault(operation.key, {})
        value = _hashed(operation.value)
        known = operation.done if operation.outcome == "ok" else math.inf
        found = elements.get(value)
        if found is None:
            elements[value] = Element(
                operation.at, known, operation.outcome, operation.line, operation.idempotency
            )
            return
        if not operation.idempotency or operation.idempotency != found.idempotency:
            found.ambiguous = True
        found.at, found.done = min(found.at, operation.at), min(found.done, known)
        if operation.outcome != found.outcome:
            found.outcome = "ok" if "ok" in (found.outcome, operation.outcome) else "unknown"

    def members(self, operation: Operation) -> None:
        """Take in an answered reading of the whole set."""
        self.operations += 1
        listed = _as_list(operation.value)
        if not all(isinstance(each, SCALARS) for each in listed):
            listed = [_hashed(each) for each in listed]
        self._read.setdefault(operation.key, []).append(
            Reading(
                operation.line,
                operation.at,
                operation.done,
                operation.level == "linear",
                listed,
            )
        )

    def find(self, findings: Findings) -> None:
        """Say what was lost, missing for a while, there twice, or never added."""
        for key, readings in self._read.items():
            readings.sort(key=lambda each: each.at)
            added = self._added.get(key, {})
            _find_strangers(findings, key, added, readings)
            _find_missing(findings, key, added, readings)


def _as_list(value: Any) -> list[Any]:
    """The value of a reading. Raise TypeError when it is no list."""
    if not isinstance(value, list):
        raise TypeError("a list is needed")
    listed: list[Any] = value  # pyright: ignore[reportUnknownVariableType]
    return listed


def _hashed(value: Any) -> Any:
    return value if isinstance(value, SCALARS) else orjson.dumps(value)


def _find_strangers(
    findings: Findings, key: str, added: dict[Any, Element], readings: list[Reading]
) -> None:
    """Elements that nobody added, and those that are there twice; each told once."""
    told: set[Any] = set()
    for reading in readings:
        distinct = set(reading.members)
        if len(distinct) != len(reading.members):
            _find_doubles(findings, key, added, reading, told)
        for value in distinct:
            found = added.get(value)
            if found is not None and found.outcome != "failed" and found.at <= reading.done:
                continue
            if value not in told:
                told.add(value)
                findings.add("G1", f.PHANTOM_ELEMENT, _stranger(key, value, found, reading))


def _find_doubles(
    findings: Findings,
    key: str,
    added: dict[Any, Element],
    reading: Reading,
    told: set[Any],
) -> None:
    seen: set[Any] = set()
    for value in reading.members:
        found = added.get(value)
        known = found is not None and not found.ambiguous
        if value in seen and known and ("twice", value) not in told:
            told.add(("twice", value))
            words = f"line {reading.line}: {key} holds {value!r} twice; it was added once"
            findings.add("G3", f.DUPLICATE, words)
        seen.add(value)


def _stranger(key: str, value: Any, found: Element | None, reading: Reading) -> str:
    words = f"line {reading.line}: {key} holds {value!r}"
    if found is None:
        return f"{words}, which nobody added"
    if found.outcome == "failed":
        return f"{words}, whose addition (line {found.line}) was said to have failed"
    return f"{words} before its addition (line {found.line}) began"


def _find_missing(
    findings: Findings, key: str, added: dict[Any, Element], readings: list[Reading]
) -> None:
    """What was certainly there before a linear reading began, and is not in it."""
    there = _there_since(added, readings)
    missing, last_held = _missing(there, readings)
    for value, reading in missing.items():
        words = (
            f"line {reading.line}: {key} lacks {value!r}, there since {there[value]:.3f} s, at"
            f" {reading.at:.3f} s"
        )
        if last_held.get(value, -math.inf) > reading.at:
            findings.add("G4", f.STALE_SET, words)
        else:
            findings.add("G1", f.LOST_ELEMENT, f"{words}, and it never came back")


def _there_since(added: dict[Any, Element], readings: list[Reading]) -> dict[Any, float]:
    """Since when each element must be there: its acknowledgement, or a linear reading of it."""
    there = {value: each.done for value, each in added.items() if each.done < math.inf}
    for reading in readings:
        if reading.linear:
            for value in reading.members:
                there[value] = min(reading.done, there.get(value, math.inf))
    return there


def _missing(
    there: dict[Any, float], readings: list[Reading]
) -> tuple[dict[Any, Reading], dict[Any, float]]:
    """The last linear reading that lacks an element, and the begin of the last that holds it."""
    order = sorted(there, key=there.__getitem__)
    missing: dict[Any, Reading] = {}
    last_held: dict[Any, float] = {}
    for reading in readings:
        held = set(reading.members)
        last_held.update(dict.fromkeys(held, reading.at))
        if reading.linear:
            due = order[: bisect_left(order, reading.at, key=there.__getitem__)]
            missing.update({value: reading for value in due if value not in held})
    return missing, last_held
