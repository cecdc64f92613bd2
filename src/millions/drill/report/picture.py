"""The time line as a picture: requests, failures and latencies over time, events as marks.

Inline SVG that stretches with the page; words stand beside it as HTML, so that they stay readable
on a narrow screen. No scripts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from millions.drill.report.words import milliseconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from millions.drill.checker import Verdict
    from millions.drill.checker.timing import Around, Bucket

WIDTH = 1000.0
LANE_PX = 20
LABEL_SHARE = 0.16
"""How much of the width a label takes, roughly: closer ones get a lane of their own."""

FASTEST_S = 0.0005
TICKS_S = (0.001, 0.01, 0.1, 1.0, 10.0)
AXIS_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600)
AXIS_TICKS_MAX = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What all panels share: the time from `first` to `last`, buckets of `width` seconds."""

    first: float
    last: float
    width: float
    buckets: tuple[Bucket, ...]
    around: tuple[Around, ...]

    def x(self, at: float) -> float:
        """Where a time stands, 0 to WIDTH."""
        share = (at - self.first) / (self.last - self.first)
        return round(min(1.0, max(0.0, share)) * WIDTH, 2)


def picture(verdict: Verdict) -> str:
    """The whole picture; words instead where there is too little to draw."""
    line = verdict.line
    if len(line) < 2:  # noqa: PLR2004  # a line has two ends
        return '<p class="soft">Too short to draw.</p>'
    width = line[1].at - line[0].at
    frame = Frame(
        first=line[0].at,
        last=line[-1].at + width,
        width=width,
        buckets=line,
        around=verdict.around,
    )
    parts = (_marks, _rates, _failures, _latencies, _axis)
    return "".join(part(frame) for part in parts)


def _marks(frame: Frame) -> str:
    """The events' names above the panels, each lane as full as it may be."""
    lanes: list[float] = []
    parts: list[str] = []
    for each in frame.around:
        share = frame.x(each.at) / WIDTH
        free = next((n for n, until in enumerate(lanes) if share >= until), len(lanes))
        if free == len(lanes):
            lanes.append(0.0)
        lanes[free] = share + LABEL_SHARE
        side = " left" if share > 0.8 else ""  # noqa: PLR2004  # near the right end
        text = escape(f"{each.event} {each.aim}".strip())
        parts.append(
            f'<span class="mark{side}" style="left:{share:.2%};top:{free * LANE_PX}px">'
            f"{text}</span>"
        )
    height = max(1, len(lanes)) * LANE_PX
    return f'<div class="lane marks" style="height:{height}px">{"".join(parts)}</div>'


def _rates(frame: Frame) -> str:
    rates = [each.good / frame.width for each in frame.buckets]
    top = _nice(max(rates))
    points = [
        (frame.x(each.at + frame.width / 2), 100 - rate / top * 100)
        for each, rate in zip(frame.buckets, rates, strict=True)
    ]
    line = " ".join(f"{x:.2f},{y:.2f}" for x, y in points)
    body = (
        f'<path class="rate-fill" d="M{points[0][0]},100 L{line} L{points[-1][0]},100 Z"/>'
        f'<path class="rate" d="M{line}"/>'
    )
    ticks = [(0, "0"), (50, f"{top / 2:,.0f}"), (100, f"{top:,.0f}")]
    return _panel(frame, body, ticks, "good answers a second", 150)


def _failures(frame: Frame) -> str:
    top = _nice(max(each.failed for each in frame.buckets) or 1)
    wide = frame.width / (frame.last - frame.first) * WIDTH
    body = "".join(
        f'<rect class="failed" x="{frame.x(each.at)}" width="{max(2.0, wide):.2f}"'
        f' y="{100 - each.failed / top * 100:.2f}" height="{each.failed / top * 100:.2f}"/>'
        for each in frame.buckets
        if each.failed
    )
    return _panel(frame, body, [(0, "0"), (100, f"{top:,.0f}")], "failed or unknown", 54)


def _latencies(frame: Frame) -> str:
    """On a logarithmic scale: a failover is a thousand times slower than an ordinary answer."""
    longest = max((each.p99 for each in frame.buckets), default=0.0)
    span = math.log10(max(longest * 1.3, FASTEST_S * 100) / FASTEST_S)

    def height(seconds: float) -> float:
        return max(0.0, math.log10(max(seconds, FASTEST_S) / FASTEST_S) / span * 100)

    body = ""
    for name in ("p99", "p50"):
        path = "".join(_stroke(frame, name, height))
        body += f'<path class="{name}" d="{path}"/>'
    ticks = [(height(each), milliseconds(each)) for each in TICKS_S if height(each) <= 100]  # noqa: PLR2004
    names = (
        '<i class="key" style="background:var(--slow)"></i>half of the answers within'
        '<i class="key" style="background:var(--slower)"></i>99 of 100'
    )
    return _panel(frame, body, ticks, names, 150)


def _stroke(frame: Frame, name: str, height: Callable[[float], float]) -> Iterator[str]:
    """The pieces of a line that breaks where nothing was answered."""
    drawing = False
    for each in frame.buckets:
        if not each.good:
            drawing = False
            continue
        x, y = frame.x(each.at + frame.width / 2), 100 - height(getattr(each, name))
        yield f"{'L' if drawing else 'M'}{x},{y:.2f} "
        if not drawing:
            yield f"h0.01 l0,0 M{x},{y:.2f} "
        drawing = True


def _panel(
    frame: Frame, body: str, ticks: Sequence[tuple[float, str]], name: str, height_px: int
) -> str:
    grid = "".join(
        f'<line class="grid" x1="0" x2="{WIDTH:g}" y1="{100 - at:.2f}" y2="{100 - at:.2f}"/>'
        for at, _ in ticks
    )
    labels = "".join(
        f'<span class="tick" style="top:{100 - at:.2f}%">{text}</span>' for at, text in ticks
    )
    return (
        f'<div class="name">{name}</div><div class="panel">{labels}'
        f'<svg viewBox="0 0 {WIDTH:g} 100" preserveAspectRatio="none"'
        f' style="height:{height_px}px" role="img" aria-label="over time">'
        f"{_spans(frame)}{grid}{body}{_lines(frame)}{_hovers(frame)}</svg></div>"
    )


def _spans(frame: Frame) -> str:
    return "".join(
        f'<rect class="span" x="{frame.x(each.at)}" y="0" height="100"'
        f' width="{frame.x(each.until) - frame.x(each.at):.2f}"/>'
        for each in frame.around
    )


def _lines(frame: Frame) -> str:
    return "".join(
        f'<line class="event" x1="{frame.x(each.at)}" x2="{frame.x(each.at)}" y1="0" y2="100"/>'
        for each in frame.around
    )


def _hovers(frame: Frame) -> str:
    wide = frame.width / (frame.last - frame.first) * WIDTH
    return "".join(
        f'<rect class="hover" x="{frame.x(each.at)}" width="{wide:.2f}" y="0" height="100">'
        f"<title>{each.at:.1f} s: {each.good / frame.width:,.0f}/s good, {each.failed} failed,"
        f" p50 {milliseconds(each.p50)}, p99 {milliseconds(each.p99)}</title></rect>"
        for each in frame.buckets
    )


def _axis(frame: Frame) -> str:
    length = frame.last - frame.first
    step = next((each for each in AXIS_STEPS if length / each <= AXIS_TICKS_MAX), AXIS_STEPS[-1])
    count = int(length / step)
    labels = "".join(
        f'<span style="left:{number * step / length:.2%}">{number * step:g} s</span>'
        for number in range(count + 1)
    )
    return f'<div class="axis">{labels}<span style="left:100%"></span></div>'


def _nice(value: float) -> float:
    """Answer the next round number above: 1, 2, 5, 10, 20 and so on."""
    if value <= 0:
        return 1.0
    power: float = 10.0 ** math.floor(math.log10(value))
    return next((each * power for each in (1, 2, 5, 10) if value <= each * power), 10 * power)
