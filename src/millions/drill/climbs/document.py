"""A climb as JSON, for programs: the verdict, each step, each rung."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from millions.drill.report.document import document as of_verdict

if TYPE_CHECKING:
    from millions.drill.climbs.answers import Figures
    from millions.drill.climbs.ascent import Ascent, Climbed, Stood

FORMAT = 1


def document(ascent: Ascent) -> dict[str, Any]:
    """The whole climb; times in seconds of the history's clock, memory in MiB."""
    return {
        "format": FORMAT,
        "well": ascent.well,
        "drive": dataclasses.asdict(ascent.drive),
        "requests": ascent.verdict.operations,
        "failed": ascent.failed,
        "whole": _figures(ascent.whole),
        "steps": [_step(each) for each in ascent.steps],
        "rungs": [_stay(each) for each in ascent.stays],
        "levels": [{"at": at, "rung": rung} for at, rung in ascent.levels],
        "verdict": of_verdict(ascent.verdict, line=False),
    }


def _figures(figures: Figures) -> dict[str, Any]:
    return dataclasses.asdict(figures) | {"rate": figures.rate}


def _step(climbed: Climbed) -> dict[str, Any]:
    return dataclasses.asdict(climbed.step) | _figures(climbed.figures)


def _stay(stood: Stood) -> dict[str, Any]:
    return (
        dataclasses.asdict(stood.stay)
        | _figures(stood.figures)
        | {
            "units": stood.units,
            "cpu_s": stood.cpu_s,
            "cpu_a_request_s": stood.cpu_a_request_s,
            "memory_mib": stood.memory_mib,
        }
    )
