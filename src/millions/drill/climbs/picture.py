"""The picture of a climb: the stairs, and below them what users saw and what the tiers took. Pure.

One SVG that needs nothing else, for the report and for documents, in light and in dark.
"""

from __future__ import annotations

import math
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING

from millions import rungs
from millions.drill.climbs import samples as s
from millions.drill.climbs.chart import LEFT, RIGHT, WIDTH, Panel, Time, path, round_up, text
from millions.drill.report.words import milliseconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from millions.drill.climbs.ascent import Ascent
    from millions.drill.climbs.samples import Sample

HEIGHT = 1060
FASTEST_S, SLOWEST_S = 0.001, 1.0
TICKS_S = (0.001, 0.01, 0.1, 1.0, 10.0)
LIMIT_S = 0.3
"""A pause that a person hardly notices; the line in the panel of pauses."""

PANELS_TOP, PANELS_FLOOR = 74, 1022
COLOURS = 12


def picture(ascent: Ascent) -> str:
    """The whole picture; one that says so where there is too little to draw."""
    style = (files("millions.drill.climbs") / "picture.css").read_text(encoding="utf-8")
    time = Time(first=ascent.drive.load_from, last=ascent.drive.load_until)
    drawn = (
        _bands(ascent, time),
        _stairs(ascent, time),
        _rates(ascent, time),
        _latencies(ascent, time),
        _pauses(ascent, time),
        *_tiers(ascent, time),
        _axis(time),
    )
    inside = "".join(drawn) if ascent.whole.good else text(LEFT, 120, "Too short to draw.", "said")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="climb-picture" role="img"'
        f' viewBox="0 0 {WIDTH} {HEIGHT}" aria-label="{escape(_title(ascent))}">'
        f"<style>{style}</style>"
        f'<rect class="ground" width="{WIDTH}" height="{HEIGHT}" rx="12"/>'
        f"{text(24, 36, _title(ascent), 'title')}{text(24, 57, _said(ascent), 'said')}"
        f"{inside}</svg>\n"
    )


def _title(ascent: Ascent) -> str:
    visited = [rung for _, rung in ascent.levels]
    turns = [visited[0]]
    for before, at, after in zip(visited, visited[1:], visited[2:], strict=False):
        if (at - before) * (after - at) < 0:
            turns.append(at)
    if len(visited) > 1:
        turns.append(visited[-1])
    way = " → ".join(f"{each}" for each in turns)
    return f"{ascent.drive.name}: rung {way}, under load"


def _said(ascent: Ascent) -> str:
    whole, worst = ascent.whole, ascent.worst_step
    said = (
        f"{ascent.verdict.operations:,} requests in {whole.seconds:.0f} s,"
        f" {ascent.failed:,} failed; p50 {milliseconds(whole.p50)}, p99 {milliseconds(whole.p99)}"
    )
    if worst is not None:
        pause = milliseconds(worst.figures.pause)
        said += f"; longest time without an answer {pause} ({worst.step.name})"
    return said


def _bands(ascent: Ascent, time: Time) -> str:
    """A band over all panels while a step was under way; its name appears when pointed at."""
    parts: list[str] = []
    for each in ascent.steps:
        left, right = time.x(each.step.began), time.x(each.step.ended)
        style = "band" if each.step.state in ("ended", "undone") else "band bad"
        said = f"{each.step.name}: {each.step.ended - each.step.began:.1f} s. {each.step.why}"
        parts.append(
            f'<rect class="{style}" x="{left}" y="{PANELS_TOP}" width="{max(1, right - left):.1f}"'
            f' height="{PANELS_FLOOR - PANELS_TOP}"><title>{escape(said)}</title></rect>'
        )
    return "".join(parts)


def _stairs(ascent: Ascent, time: Time) -> str:
    """The rung over time; each rung between the lowest and the highest is a line with its name."""
    visited = {rung for _, rung in ascent.levels}
    marked = [
        each
        for each in rungs.RUNGS
        if min(visited) <= each.number <= max(visited) and each.number in rungs.BUILT
    ]
    place = {each.number: index + 1 for index, each in enumerate(marked)}
    panel = Panel(name="rung", top=96, height=176, upper=len(marked) + 0.4)
    ticks = [(0.0, ""), *((place[each.number], f"{each.number} {each.name}") for each in marked)]
    points: list[tuple[float, float]] = []
    for (since, rung), (until, _) in zip(
        ascent.levels, [*ascent.levels[1:], (time.last, 0)], strict=True
    ):
        y = panel.y(place[rung])
        points += [(time.x(since), y), (time.x(until), y)]
    return (
        panel.frame(time, ticks)
        + path(points, "stair-fill", floor=panel.floor)
        + path(points, "stair")
    )


def _rates(ascent: Ascent, time: Time) -> str:
    line = ascent.line
    width = line[1].at - line[0].at if len(line) > 1 else 1.0
    top = round_up(max((each.good / width for each in line), default=1.0))
    panel = Panel(name="requests a second", top=314, height=90, upper=top)
    points = [(time.x(each.at + width / 2), panel.y(each.good / width)) for each in line]
    failed = "".join(
        f'<rect class="failed" x="{time.x(each.at)}" y="{panel.top}" width="3"'
        f' height="{panel.height}"><title>{each.failed:,} failed</title></rect>'
        for each in line
        if each.failed
    )
    return (
        panel.frame(time, [(0, "0"), (top / 2, f"{top / 2:,.0f}"), (top, f"{top:,.0f}")])
        + path(points, "rate-fill", floor=panel.floor)
        + path(points, "rate")
        + failed
        + _keys(panel, [("rate", "good"), ("failed", f"{ascent.failed:,} failed")])
    )


def _latencies(ascent: Ascent, time: Time) -> str:
    """On a logarithmic scale: a held answer is a hundred times slower than an ordinary one."""
    slowest = max((each.p99 for each in ascent.line), default=0.0)
    top = next((each for each in TICKS_S if slowest <= each and each >= SLOWEST_S), TICKS_S[-1])
    panel = Panel(name="answered within", top=446, height=112, upper=math.log10(top / FASTEST_S))

    def height(seconds: float) -> float:
        return max(0.0, math.log10(max(seconds, FASTEST_S) / FASTEST_S))

    drawn = "".join(
        path(points, name)
        for name in ("p99", "p50")
        for points in _strokes(ascent, time, name, lambda value: panel.y(height(value)))
    )
    ticks = [(height(each), _round(each)) for each in TICKS_S if each <= top]
    return (
        panel.frame(time, ticks)
        + drawn
        + _keys(panel, [("p99", "99 of 100"), ("p50", "half of them")])
    )


def _round(seconds: float) -> str:
    return f"{seconds:g} s" if seconds >= 1 else f"{seconds * 1e3:g} ms"


def _strokes(
    ascent: Ascent, time: Time, name: str, y: Callable[[float], float]
) -> Iterator[list[tuple[float, float]]]:
    """The pieces of a line that breaks where nothing was answered."""
    width = ascent.line[1].at - ascent.line[0].at if len(ascent.line) > 1 else 0.0
    piece: list[tuple[float, float]] = []
    for each in ascent.line:
        if each.good:
            piece.append((time.x(each.at + width / 2), y(getattr(each, name))))
        elif piece:
            yield piece
            piece = []
    if piece:
        yield piece


def _pauses(ascent: Ascent, time: Time) -> str:
    longest = max((each.figures.pause for each in ascent.steps), default=0.0)
    top = round_up(max(longest, LIMIT_S * 1.1) * 1000)
    panel = Panel(
        name="longest time without any answer, by step, in ms", top=600, height=80, upper=top
    )
    bars: list[str] = []
    for each in ascent.steps:
        middle = (time.x(each.step.began) + time.x(each.step.ended)) / 2
        y = panel.y(each.figures.pause * 1000)
        said = f"{each.step.name}: {milliseconds(each.figures.pause)}"
        bars.append(
            f'<rect class="pause" x="{middle - 3:.1f}" y="{y}" width="6" rx="1.5"'
            f' height="{panel.floor - y:.1f}"><title>{escape(said)}</title></rect>'
        )
    limit = panel.y(LIMIT_S * 1000)
    return (
        panel.frame(time, [(0, "0"), (top, f"{top:,.0f}")])
        + f'<line class="limit" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{limit}" y2="{limit}"/>'
        + text(WIDTH - RIGHT + 12, limit + 4, f"{LIMIT_S * 1000:.0f} ms", "key")
        + "".join(bars)
    )


def _tiers(ascent: Ascent, time: Time) -> Iterator[str]:
    """Memory and CPU, stacked by tier."""
    samples = [each for each in ascent.samples if time.first <= each.at <= time.last]
    if len(samples) < 2:  # noqa: PLR2004  # CPU is used between two
        return
    names = s.names(samples)
    times = [each.at for each in samples]
    memory = {
        name: [each.tiers[name].memory_mib if name in each.tiers else 0.0 for each in samples]
        for name in names
    }
    most = max(sum(memory[name][n] for name in names) for n in range(len(samples)))
    top = round_up(most)
    panel = Panel(name="memory by tier, MiB", top=722, height=130, upper=top)
    ticks = [(0, "0"), (top / 2, f"{top / 2:,.0f}"), (top, f"{top:,.0f}")]
    yield panel.frame(time, ticks) + _stacked(panel, time, times, memory, names)
    cpu = {name: _cores(samples, name) for name in names}
    used = max(sum(cpu[name][n] for name in names) for n in range(len(samples)))
    top = round_up(used)
    panel = Panel(name="CPU by tier, cores", top=894, height=112, upper=top)
    ticks = [(0, "0"), (top / 2, f"{top / 2:g}"), (top, f"{top:g}")]
    yield panel.frame(time, ticks) + _stacked(panel, time, times, cpu, names)
    yield _legend(names)


def _cores(samples: Sequence[Sample], name: str) -> list[float]:
    """How many cores a tier kept busy, around each sample: over two samples before and after."""
    found: list[float] = []
    for n in range(len(samples)):
        low, high = samples[max(0, n - 2)], samples[min(len(samples) - 1, n + 2)]
        used = s.cpu_s((low, high), low.at, high.at).get(name, 0.0)
        found.append(used / (high.at - low.at))
    return found


def _stacked(
    panel: Panel,
    time: Time,
    times: Sequence[float],
    values: dict[str, list[float]],
    names: Sequence[str],
) -> str:
    floor = [0.0] * len(times)
    parts: list[str] = []
    for number, name in enumerate(names):
        ceiling = [low + more for low, more in zip(floor, values[name], strict=True)]
        upper = [(time.x(at), panel.y(value)) for at, value in zip(times, ceiling, strict=True)]
        lower = [(time.x(at), panel.y(value)) for at, value in zip(times, floor, strict=True)]
        points = " ".join(f"{x:g},{y:g}" for x, y in [*upper, *reversed(lower)])
        parts.append(
            f'<polygon class="tier t{number % COLOURS}" points="{points}">'
            f"<title>{escape(name)}</title></polygon>"
        )
        floor = ceiling
    return "".join(parts)


def _legend(names: Sequence[str]) -> str:
    """The tiers beside the two last panels, in the order in which they are stacked."""
    rows: list[str] = []
    for number, name in enumerate(reversed(names)):
        y = 734 + number * 19
        style = (len(names) - 1 - number) % COLOURS
        rows.append(
            f'<rect class="t{style}" x="{WIDTH - RIGHT + 12}" y="{y - 9}" width="11" height="11"'
            f' rx="2"/>' + text(WIDTH - RIGHT + 29, y + 1, name, "key")
        )
    return "".join(rows)


def _keys(panel: Panel, keys: Sequence[tuple[str, str]]) -> str:
    parts: list[str] = []
    for number, (style, said) in enumerate(keys):
        y, left = panel.top + 12 + number * 18, WIDTH - RIGHT + 12
        mark = (
            f'<rect class="{style}" x="{left}" y="{y - 9}" width="11" height="11" rx="2"/>'
            if style == "failed"
            else f'<path class="{style}" d="M{left},{y - 4} h12"/>'
        )
        parts.append(mark + text(left + 17, y, said, "key"))
    return "".join(parts)


def _axis(time: Time) -> str:
    marks = "".join(
        text(time.x(at), PANELS_FLOOR + 18, said, "tick middle") for at, said in time.ticks()
    )
    return marks + text(WIDTH - RIGHT + 12, PANELS_FLOOR + 18, "min:s", "tick")
