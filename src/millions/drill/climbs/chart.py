"""What all panels of a climb's picture share: the time axis, scales, grid lines and labels. Pure.

SVG with words in it, so that the picture stands alone in a document; one user unit is one pixel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

WIDTH = 1200
LEFT, RIGHT = 112, 128
"""Room for the labels of the axis, and for the names of what is drawn."""

AXIS_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600)
AXIS_TICKS_MAX = 14


@dataclass(frozen=True, slots=True, kw_only=True)
class Time:
    """The time axis, from `first` to `last` seconds."""

    first: float
    last: float

    def x(self, at: float) -> float:
        """Where a moment stands."""
        share = (at - self.first) / ((self.last - self.first) or 1.0)
        return round(LEFT + min(1.0, max(0.0, share)) * (WIDTH - LEFT - RIGHT), 1)

    def ticks(self) -> list[tuple[float, str]]:
        """Moments with their words: 0:30, 1:00 and so on."""
        length = self.last - self.first
        step = next((each for each in AXIS_STEPS if length / each <= AXIS_TICKS_MAX), 3600)
        return [
            (self.first + number * step, f"{number * step // 60}:{number * step % 60:02}")
            for number in range(int(length / step) + 1)
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One panel: its name, its top edge and its height, and the value that is its upper end."""

    name: str
    top: int
    height: int
    upper: float

    @property
    def floor(self) -> int:
        """Its lower edge."""
        return self.top + self.height

    def y(self, value: float) -> float:
        """Where a value stands."""
        return round(self.floor - min(1.0, max(0.0, value / self.upper)) * self.height, 1)

    def frame(self, time: Time, ticks: Iterable[tuple[float, str]]) -> str:
        """Its name, its grid lines with their labels, and its floor."""
        end = WIDTH - RIGHT
        lines = "".join(
            f'<line class="{"grid" if at else "axis"}" x1="{LEFT}" x2="{end}" y1="{self.y(at)}"'
            f' y2="{self.y(at)}"/>' + text(LEFT - 8, self.y(at) + 4, said, "tick right")
            for at, said in ticks
        )
        del time
        return text(LEFT, self.top - 9, self.name, "panel") + lines


def text(x: float, y: float, said: str, style: str) -> str:
    """Words at a place."""
    return f'<text class="{style}" x="{x:g}" y="{y:g}">{escape(said)}</text>'


def path(points: Sequence[tuple[float, float]], style: str, *, floor: float | None = None) -> str:
    """A line through points; the area below it down to `floor`, where that is given."""
    if not points:
        return ""
    line = " ".join(f"{x:g},{y:g}" for x, y in points)
    if floor is None:
        return f'<path class="{style}" d="M{line}"/>'
    ends = f"{points[0][0]:g},{floor:g}", f"{points[-1][0]:g},{floor:g}"
    return f'<polygon class="{style}" points="{ends[0]} {line} {ends[1]}"/>'


def round_up(value: float) -> float:
    """Answer the next round number above: 1, 1.5, 2, 3, 4, 5, 6, 8, 10, 15 and so on."""
    if value <= 0:
        return 1.0
    power: float = 10.0 ** math.floor(math.log10(value))
    steps = (1, 1.5, 2, 3, 4, 5, 6, 8, 10)
    return next((each * power for each in steps if value <= each * power * 1.0001), 10 * power)
