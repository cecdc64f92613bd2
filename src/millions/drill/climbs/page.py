"""The report of a climb: one HTML file that needs nothing else. It judges nothing."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from millions import rungs
from millions.drill.climbs import samples as s
from millions.drill.climbs.picture import picture
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
from millions.drill.report.words import milliseconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from millions.drill.climbs.ascent import Ascent, Stood

FOOTER = (
    "<footer>Every answer is a line of history.jsonl, which <code>millions check</code> judges "
    "again; memory and CPU are those of the processes of each tier, from /proc, in samples.jsonl. "
    "Memory that processes share counts once.</footer>\n"
)


def page(ascent: Ascent) -> str:
    """The whole page."""
    drive = ascent.drive
    well = "no request failed, all promises hold" if ascent.well else _unwell(ascent)
    note = (
        f"{drive.workload}, {drive.clients} clients, "
        + (f"{drive.rate_per_s:g} requests a second at most" if drive.rate_per_s else "no pause")
        + f"; {drive.machine}"
    )
    title = f"{drive.name}: the climb"
    inside = (
        head(title, well, note, well=ascent.well)
        + _cards(ascent)
        + f'<div class="box wide">{picture(ascent)}</div>'
        + promises(ascent.verdict)
        + findings(ascent.verdict)
        + _rungs(ascent)
        + _costs(ascent)
        + _steps(ascent)
        + failures(ascent.verdict)
        + kinds(ascent.verdict)
        + _engines(ascent)
        + FOOTER
    )
    return whole(title, "climb", inside)


def _unwell(ascent: Ascent) -> str:
    if not ascent.verdict.well:
        return "a promise is broken"
    return f"{ascent.failed:,} failed" if ascent.failed else "not finished"


def _cards(ascent: Ascent) -> str:
    found, worst = ascent.whole, ascent.worst_step
    figures = [
        (f"{ascent.verdict.operations:,}", f"requests, {found.rate:,.0f} a second"),
        (f"{ascent.failed:,}", "failed"),
        (
            milliseconds(worst.figures.pause) if worst else milliseconds(found.pause),
            f"longest time without an answer{f', {escape(worst.step.name)}' if worst else ''}",
        ),
        (milliseconds(found.p99), f"p99; p50 {milliseconds(found.p50)}"),
        (_clock(ascent), f"for {len(ascent.steps)} steps"),
    ]
    return cards(figures)


def _clock(ascent: Ascent) -> str:
    seconds = sum(each.step.ended - each.step.began for each in ascent.steps)
    return f"{seconds // 60:.0f}:{seconds % 60:02.0f} min"


def _rungs(ascent: Ascent) -> str:
    """Latency, throughput and cost of each stay on a rung, against the first."""
    first = next((each.cpu_a_request_s for each in ascent.stays if each.cpu_a_request_s), 0.0)
    rows = [
        (
            f"{each.stay.rung} {_name(each.stay.rung)}",
            f"{each.stay.ended - each.stay.began:.0f} s",
            f"{each.figures.rate:,.0f}",
            milliseconds(each.figures.p50),
            milliseconds(each.figures.p99),
            milliseconds(each.figures.worst),
            f"{each.figures.failed:,}",
            f"{sum(each.memory_mib.values()):,.0f} MiB",
            f"{each.cpu_a_request_s * 1e3:.2f} ms",
            f"{each.cpu_a_request_s / first:.2f}\u00d7" if first else "-",
        )
        for each in ascent.stays
    ]
    heads = (
        *("rung", "stayed", "answers/s", "p50", "p99", "slowest", "failed", "memory"),
        *("CPU a request", "against the first"),
    )
    return table("Rung by rung", heads, rows)


def _costs(ascent: Ascent) -> str:
    """CPU of a request and memory by tier, on each rung: what one takes, and takes off others."""
    names = s.names(ascent.samples)
    rows = [
        (
            f"{each.stay.rung} {_name(each.stay.rung)}",
            *(_cost(each, name) for name in names),
        )
        for each in ascent.stays
    ]
    heads = ("rung", *(escape(name) for name in names))
    return table("What each tier takes: servers, CPU a request, memory", heads, rows)


def _cost(stood: Stood, name: str) -> str:
    units, mib = stood.units.get(name, 0), stood.memory_mib.get(name, 0.0)
    if not units:
        return '<span class="soft">-</span>'
    cpu_s = stood.cpu_s.get(name, 0.0) / stood.figures.good if stood.figures.good else 0.0
    return f"{units} · {cpu_s * 1e3:.2f} ms · {mib:,.0f} MiB"


def _steps(ascent: Ascent) -> str:
    rows = [
        (
            _clock_at(each.step.began - ascent.drive.load_from),
            escape(each.step.name),
            f"{each.step.rung_from} → {each.step.rung_to}",
            f"{each.step.ended - each.step.began:.1f} s",
            milliseconds(each.figures.pause),
            milliseconds(each.figures.worst),
            f"{each.figures.good:,}",
            _counted(each.figures.failed),
            escape(each.step.why) if each.step.state == "ended" else escape(each.step.state),
        )
        for each in ascent.steps
    ]
    heads = (
        *("at", "step", "rung", "took", "no answer for", "slowest answer", "good", "failed"),
        "why",
    )
    return table("Step by step", heads, rows)


def _engines(ascent: Ascent) -> str:
    rows: Sequence[Sequence[str]] = [
        (escape(name), escape(version)) for name, version in sorted(ascent.drive.engines.items())
    ]
    return table("Engines", ("program", "version"), rows)


def _name(rung: int) -> str:
    return next((each.name for each in rungs.RUNGS if each.number == rung), "")


def _clock_at(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def _counted(failed: int) -> str:
    return f'<strong class="bad">{failed:,}</strong>' if failed else "0"
