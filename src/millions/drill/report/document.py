"""The verdict as JSON: for programs, and inside the folder of each drill."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from millions.drill.checker import PROMISES

if TYPE_CHECKING:
    from millions.drill.checker import Verdict

FORMAT = 1


def document(verdict: Verdict, *, line: bool = True) -> dict[str, Any]:
    """The whole verdict; times in seconds of the history's own clock."""
    return {
        "format": FORMAT,
        "well": verdict.well,
        "drill": verdict.header.drill,
        "note": verdict.header.note,
        "may_fail": verdict.header.may_fail,
        "operations": verdict.operations,
        "unknown": verdict.unknown,
        "ambiguous": verdict.ambiguous,
        "seconds": verdict.seconds,
        "kinds": verdict.kinds,
        "promises": {
            name: {"says": PROMISES.get(name, ""), "held": held}
            for name, held in verdict.held.items()
        },
        "findings": [dataclasses.asdict(each) for each in verdict.findings],
        "failures": [dataclasses.asdict(each) for each in verdict.failures],
        "gaps": [dataclasses.asdict(each) for each in verdict.gaps],
        "longest_gap": verdict.longest_gap and dataclasses.asdict(verdict.longest_gap),
        "latency": dataclasses.asdict(verdict.latency),
        "events": [each._asdict() for each in verdict.events],
        "around": [dataclasses.asdict(each) for each in verdict.around],
        **({"line": [dataclasses.asdict(each) for each in verdict.line]} if line else {}),
    }
