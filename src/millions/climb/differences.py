"""What a step does to the units that run, in one line. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from millions.model import Unit


def touches(before: Iterable[Unit], after: Iterable[Unit]) -> str:
    """Answer which units start, are replaced and stop between two lists of what is wanted.

    Of a unit that is taken over, what it runs goes on.
    """
    one, two = ({each.name: each for each in units} for units in (before, after))
    both = [name for name in two if name in one and one[name].revision != two[name].revision]
    kept = [name for name in both if one[name].goes_on_as(two[name])]
    found = {
        "starts": [name for name in two if name not in one],
        "replaces": [name for name in both if name not in kept],
        "takes over": kept,
        "stops": [name for name in one if name not in two],
    }
    return "; ".join(f"{verb} {', '.join(names)}" for verb, names in found.items() if names)
