"""One file a tier. Pure: settings in, units and directory entries out.

A module beside this one that declares `TIER` is a tier; nothing else names it.
"""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from millions.tiers.kind import Tier


@cache
def tiers() -> tuple[Tier, ...]:
    """Answer every tier that this version has, in the order of their address index."""
    modules = (import_module(f"{__name__}.{each.name}") for each in pkgutil.iter_modules(__path__))
    found = [module.TIER for module in modules if hasattr(module, "TIER")]
    return tuple(sorted(found, key=lambda tier: tier.index))


def tier(name: str) -> Tier | None:
    """Answer the tier called `name`, or None."""
    return next((each for each in tiers() if each.name == name), None)
