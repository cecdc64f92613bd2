"""Numbers: how many servers a tier has, or between which bounds they follow the load. Pure.

For every tier whose settings are called `servers`, `servers_min` and `servers_max`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from millions.errors import StackFileError

if TYPE_CHECKING:
    from millions.tiers.kind import Context

MOST_AT_FIRST = 4
"""The most servers of a tier that scales itself where the stack file does not say: with the pools
as they come the database accepts the connections of four, and of one more during a deploy."""


class Counted(Protocol):
    """The settings that say how many servers there are."""

    servers: int
    servers_min: int
    servers_max: int

    @property
    def model_fields_set(self) -> set[str]:
        """The settings that the stack file says."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """At least and at most so many servers; `first` where none runs yet.

    They are the same where the number is fixed; `follows` says whether it follows the load.
    """

    least: int
    most: int
    first: int
    follows: bool = False


def numbers(context: Context, tier: str, table: Counted) -> Numbers:
    """Answer how many servers of `tier` there are to be."""
    said = table.model_fields_set
    most = table.servers_max
    if "servers_max" not in said and tier in context.scaled:
        most = max(MOST_AT_FIRST, table.servers if "servers" in said else 0)
        most = max(most, table.servers_min if "servers_min" in said else 0)
    if not most:
        return Numbers(least=table.servers, most=table.servers, first=table.servers)
    least = min(table.servers_min, most)
    first = min(max(table.servers, least), most)
    return Numbers(least=least, most=most, first=first, follows=True)


def check(tier: str, table: Counted) -> None:
    """Refuse bounds of which the lower one is the higher one. Raise StackFileError."""
    said = table.model_fields_set
    if not {"servers_min", "servers_max"} <= said or not table.servers_max:
        return
    if table.servers_min > table.servers_max:
        raise StackFileError(
            cannot=f"run at least {table.servers_min} and at most {table.servers_max} {tier} "
            "servers",
            because=f"[{tier}] servers_min is more than servers_max",
            try_=f"servers_max = {table.servers_min}",
        )
