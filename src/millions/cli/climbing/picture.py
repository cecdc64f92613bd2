"""The live picture of a climb, for a terminal: steps, tiers, requests. Pure: data in, words out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.columns import Columns
from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from millions import rungs
from millions.drill.report.words import milliseconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from millions.cli.climbing.seen import Seen
    from millions.climb.record import Event
    from millions.runtime.status import Status

STEPS_SHOWN = 12
BARS = " ▁▂▃▄▅▆▇█"
DOTS = {"ready": ("●", "green"), "kept": ("○", "dim"), "stopping": ("◌", "dim")}
OTHERS = ("◐", "yellow")
MARKS = {
    "planned": ("·", "dim"),
    "began": ("▸", "bold yellow"),
    "ended": ("✓", "green"),
    "failed": ("✗", "bold red"),
    "undone": ("↶", "yellow"),
}


def picture(seen: Seen) -> Group:
    """The whole picture."""
    parts: list[Text | Table | Columns] = [_headline(seen), _steps(seen)]
    if seen.status is not None:
        parts.append(_tiers(seen.status))
    parts.append(_requests(seen))
    return Group(*parts)


def latest(events: Sequence[Event]) -> dict[str, tuple[Event, Event]]:
    """Answer of each step of the last climb its first and its last event, in order."""
    begin = max(
        (n for n, each in enumerate(events) if each.kind == "climb" and each.state == "began"),
        default=0,
    )
    planned = begin
    while planned and events[planned - 1].state == "planned":
        planned -= 1  # the plan is written before the climb begins
    found: dict[str, tuple[Event, Event]] = {}
    for each in events[planned:]:
        if each.kind == "step":
            first = found.get(each.name, (each, each))[0]
            first = each if each.state == "began" else first
            found[each.name] = (first, each)
    return found


def _headline(seen: Seen) -> Text:
    name = next((each.name for each in rungs.RUNGS if each.number == seen.standing), "")
    elapsed = int(max(0.0, seen.now_s - seen.began_at_s))
    text = Text()
    text.append(seen.name, style="bold")
    text.append(f"   rung {seen.standing} {name}", style="bold blue")
    text.append(f"   {elapsed // 60}:{elapsed % 60:02}", style="dim")
    text.append(f"   {seen.doing}")
    return text


def _steps(seen: Seen) -> Table:
    """The steps of this climb; of many those around the one that is under way."""
    rows = list(latest(seen.events).values())
    under_way = next((n for n, row in enumerate(rows) if row[1].state != "ended"), len(rows))
    first = max(0, min(under_way - STEPS_SHOWN // 2, len(rows) - STEPS_SHOWN))
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    for begun, last in rows[first : first + STEPS_SHOWN]:
        mark, style = MARKS.get(last.state, ("?", ""))
        until = seen.now_s if last.state == "began" else last.at_s
        took = "" if last.state == "planned" else f"{max(0.0, until - begun.at_s):.1f} s"
        table.add_row(
            Text(mark, style=style), Text(last.name, style=style), Text(took), Text(last.why)
        )
    return table


def _tiers(status: Status) -> Columns:
    """A box for each tier, a dot for each of its servers."""
    tiers: dict[str, Text] = {}
    for unit in status.units:
        dots = tiers.setdefault(unit.tier or unit.name.rpartition(".")[0], Text())
        mark, style = DOTS.get(unit.phase, OTHERS)
        if unit.phase == "failing":
            mark, style = "✗", "bold red"
        dots.append(mark, style=style)
    return Columns(
        [
            Panel(dots, title=name, title_align="left", border_style="dim", width=len(name) + 6)
            for name, dots in tiers.items()
        ]
    )


def _requests(seen: Seen) -> Text:
    told = seen.told
    text = Text()
    text.append(f"{told.rate:5.0f}/s ", style="bold")
    text.append(bars(seen.rates), style="green")
    text.append(f"   p50 {milliseconds(told.p50)}   p99 {milliseconds(told.p99)}")
    text.append(f"   {told.good:,} good")
    text.append(f"   {told.failed:,} failed", style="bold red" if told.failed else "green")
    if told.pause_s is not None:
        text.append(f"   longest pause {milliseconds(told.pause_s)}")
    return text


def bars(values: Sequence[float]) -> str:
    """Values as a line of small bars; the highest is the full one."""
    most = max(values, default=0.0)
    if most <= 0:
        return ""
    return "".join(BARS[round(each / most * (len(BARS) - 1))] for each in values)
