"""How figures and times are said on a page."""

from __future__ import annotations

from datetime import UTC, datetime

MINUTE_S, HOUR_S, DAY_S, WEEK_S = 60, 3600, 86_400, 604_800


def short(number: int) -> str:
    """1234 as "1.2k", for places where the exact figure only takes room."""
    for size, letter in ((1_000_000, "M"), (1000, "k")):
        if number >= size:
            tenths = number * 10 // size
            text = f"{tenths / 10:.1f}" if number < 10 * size else str(number // size)
            return text.removesuffix(".0") + letter
    return str(number)


def ago(at: datetime, now: datetime | None = None) -> str:
    """How long ago, as people say it; a date when it is longer than four weeks."""
    now = now or datetime.now(UTC)
    seconds = max(0, int((now - at).total_seconds()))
    if seconds < MINUTE_S:
        return "now"
    for size, until, letter in (
        (MINUTE_S, HOUR_S, "min"),
        (HOUR_S, DAY_S, "h"),
        (DAY_S, WEEK_S, "d"),
        (WEEK_S, 4 * WEEK_S, "w"),
    ):
        if seconds < until:
            return f"{seconds // size} {letter}"
    return at.strftime("%-d %b" if at.year == now.year else "%-d %b %Y")
