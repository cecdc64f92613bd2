"""The verdict in words, for a terminal: promises first, then what failed, gaps and latencies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from millions.drill.checker import PROMISES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from millions.drill.checker import Verdict
    from millions.drill.checker.timing import Latency

HELD = {True: ("holds", "green"), False: ("broken", "bold red"), None: ("not tried", "dim")}
FAILURES_MAX = 12
"""Sorts of failures that are listed."""


def words(verdict: Verdict) -> Group:
    """Everything that a person should know."""
    return Group(*_parts(verdict))


def _parts(verdict: Verdict) -> Iterator[RenderableType]:
    rate = verdict.operations / verdict.seconds if verdict.seconds else 0.0
    yield Text(
        f"{verdict.operations:,} operations in {verdict.seconds:.1f} s ({rate:,.0f}/s), "
        f"{sum(each.in_flight + each.others for each in verdict.failures):,} failed or unknown"
    )
    yield _promises(verdict)
    for each in verdict.findings:
        yield Text(f"\n{each.promise}: {each.count:,} {each.title}", style="bold red")
        yield from (Text(f"  {example}") for example in each.examples)
    if verdict.failures:
        yield _failures(verdict)
    yield _gaps(verdict)
    if verdict.around:
        yield _around(verdict)
    if verdict.ambiguous:
        yield Text(f"{verdict.ambiguous} values were written twice and could not be judged")


def _promises(verdict: Verdict) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    for name, held in verdict.held.items():
        said, style = HELD[held]
        table.add_row(Text(name, style="bold"), Text(said, style=style), PROMISES.get(name, ""))
    return table


def _failures(verdict: Verdict) -> Table:
    table = _table("failed", "outcome", "status", "repeat", "in flight at a crash", "else")
    for each in verdict.failures[:FAILURES_MAX]:
        table.add_row(
            each.kind,
            each.outcome,
            each.status or "no answer",
            "allowed" if each.repeatable else "not allowed",
            f"{each.in_flight:,}",
            f"{each.others:,}",
        )
    return table


def _gaps(verdict: Verdict) -> Table:
    table = _table("kind", "good answers", "longest gap", "at")
    rows = [*verdict.gaps, *([verdict.longest_gap] if verdict.longest_gap else [])]
    for each in rows:
        count = verdict.kinds.get(each.kind, sum(verdict.kinds.values()))
        table.add_row(each.kind, f"{count:,}", milliseconds(each.seconds), f"{each.at:.2f} s")
    return table


def _around(verdict: Verdict) -> Table:
    table = _table("event", "at", "lasted", "p50 before/during/after", "p99 before/during/after")
    for each in verdict.around:
        three = (each.before, each.during, each.after)
        table.add_row(
            f"{each.event} {each.aim}",
            f"{each.at:.2f} s",
            f"{each.until - each.at:.2f} s",
            _three(three, "p50"),
            _three(three, "p99"),
        )
    return table


def _three(three: tuple[Latency, ...], share: str) -> str:
    return " / ".join(milliseconds(getattr(each, share)) if each.count else "-" for each in three)


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in columns:
        table.add_column(column)
    return table


def milliseconds(seconds: float) -> str:
    """Answer a time as people read it: 0.8 ms, 12 ms, 1.25 s."""
    if seconds >= 1:
        return f"{seconds:.2f} s"
    return f"{seconds * 1e3:.0f} ms" if seconds >= 0.01 else f"{seconds * 1e3:.1f} ms"  # noqa: PLR2004  # from ten on
