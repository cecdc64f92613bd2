"""What came of a climb under load, in words for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from millions.drill.report.words import milliseconds

if TYPE_CHECKING:
    from millions.drill.climbs.ascent import Ascent, Climbed


def outcome(ascent: Ascent) -> str:
    """Answer a few lines: requests, the longest pause, promises, and what was not as it should."""
    whole, worst = ascent.whole, ascent.worst_step
    counts = (
        f"{ascent.verdict.operations:,} requests ({whole.rate:,.0f}/s), {ascent.failed:,} failed"
    )
    lines = [f"{counts}, p50 {milliseconds(whole.p50)} p99 {milliseconds(whole.p99)}"]
    if worst is not None:
        pause = milliseconds(worst.figures.pause)
        lines.append(f"longest time without an answer: {pause}, {worst.step.name}")
        lines += [_step(each) for each in ascent.steps if each.figures.failed]
    lines += [
        f"{each.promise}: {each.count:,} {each.title}: {each.examples[0]}"
        for each in ascent.verdict.findings
    ]
    if not ascent.finished:
        lines.append("the climb did not come to its end")
    lines.append("as promised" if ascent.well else "not as promised")
    return "\n".join(lines)


def _step(climbed: Climbed) -> str:
    return f"{climbed.figures.failed:,} failed in {climbed.step.name}"
