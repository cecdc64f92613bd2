"""What a verdict found, for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from millions.drill.checker import Verdict


def titles(verdict: Verdict) -> dict[str, tuple[int, list[str]]]:
    """What was found, how often, and the first cases."""
    return {each.title: (each.count, each.examples) for each in verdict.findings}


def found(verdict: Verdict, title: str) -> int:
    return next((each.count for each in verdict.findings if each.title == title), 0)
