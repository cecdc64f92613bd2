"""The report of a drill: one HTML file that needs nothing else, with a picture of the time line.

It shows what the verdict holds and judges nothing.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from millions.drill.report.parts import (
    cards,
    failures,
    findings,
    head,
    kinds,
    promises,
    table,
    whole,
)
from millions.drill.report.picture import picture
from millions.drill.report.words import milliseconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from millions.drill.checker import Verdict
    from millions.drill.checker.timing import Latency


def page(verdict: Verdict, problems: Sequence[str] = ()) -> str:
    """The whole page."""
    title = verdict.header.drill or "History"
    well = verdict.well and not problems
    said = "all promises hold" if well else "not as promised" if verdict.well else "broken"
    inside = (
        f"{head(title, said, verdict.header.note, well=well)}{_numbers(verdict)}"
        f"{promises(verdict)}{_problems(problems)}{findings(verdict)}"
        f'<h2>Over time</h2><div class="box picture">{picture(verdict)}</div>'
        f"{_around(verdict)}{failures(verdict)}{kinds(verdict)}"
        "<footer>Times are seconds since the drill began. Every answer is a line of history.jsonl; "
        "<code>millions check</code> judges it again.</footer>\n"
    )
    return whole(title, "drill", inside)


def _numbers(verdict: Verdict) -> str:
    failed = sum(each.in_flight + each.others for each in verdict.failures)
    rate = verdict.operations / verdict.seconds if verdict.seconds else 0.0
    gap = verdict.longest_gap
    lost = sum(
        each.count for each in verdict.findings if each.promise == "G1" and "lost" in each.title
    )
    figures = (
        (f"{verdict.operations:,}", f"operations in {verdict.seconds:.0f} s, {rate:,.0f} a second"),
        (f"{lost:,}", "acknowledged writes lost"),
        (f"{failed:,}", f"failed or unknown, {verdict.unknown:,} of them unknown"),
        (milliseconds(gap.seconds) if gap else "-", "longest time without a good answer"),
        (milliseconds(verdict.latency.p99), f"p99; p50 {milliseconds(verdict.latency.p50)}"),
    )
    return cards(figures)


def _problems(problems: Sequence[str]) -> str:
    if not problems:
        return ""
    inner = "".join(f'<div class="finding"><code>{escape(each)}</code></div>' for each in problems)
    return f'<h2>What could not be done</h2><div class="box">{inner}</div>'


def _around(verdict: Verdict) -> str:
    rows = [
        (
            escape(f"{each.event} {each.aim}"),
            f"{each.at:.2f} s",
            milliseconds(each.until - each.at),
            _three((each.before, each.during, each.after), "p50"),
            _three((each.before, each.during, each.after), "p99"),
            _three((each.before, each.during, each.after), "worst"),
        )
        for each in verdict.around
    ]
    heads = ("event", "at", "all ready after", "p50 before / during / after", "p99", "worst")
    return table("Events", heads, rows)


def _three(three: Iterable[Latency], share: str) -> str:
    return " / ".join(milliseconds(getattr(x, share)) if x.count else "-" for x in three)
