"""What is said of a step: its cause, how it is undone, its point of no return. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from millions import rungs

if TYPE_CHECKING:
    from millions.tiers.kind import Tier

_UNDO = {
    "comes": "its servers go again",
    "changes": "the former settings, in the same way",
    "moves": "a move back to the former server",
    "returns": "finished first, then its servers come again",
    "goes": "its servers come again",
}
"""How each kind of step is undone."""

_NO_RETURN = {
    "moves": "once the new server is proven to have everything, the move is finished, not undone",
    "returns": "from its beginning on it is finished first: data is never in two halves",
}
_CHANGES = {
    "app": "[app] says something else",
    "settings": "settings say something else",
    "scaling": "from rung {rung} on the number of servers follows the load",
}


def why(kind: str, tier: Tier | None, *, name: str, ends: tuple[int, int]) -> str:
    """Answer the cause of a step on the way between these two rungs."""
    low, high = ends
    if tier is None:
        fixed = name == "scaling" and high < low
        return f"rung {high} has fixed numbers" if fixed else _CHANGES[name].format(rung=high)
    said = {
        "returns": f"the data of {tier.name} goes back before its servers go",
        "moves": f"[{tier.name}] is on another server",
        "comes": f"[{tier.name}] has servers of its own",
        "goes": f"[{tier.name}] has no servers of its own any more",
    }
    if low == high or kind == "returns":
        return said[kind]
    if kind == "moves" and high < low:
        return f"rung {high} has {tier.name} on the first server"
    if kind == "goes" or high < low:
        return f"rung {high} is without it"
    return f"rung {high} adds " + next(each.adds for each in rungs.RUNGS if each.number == high)


def undo(kind: str, tier: Tier | None) -> str:
    """Answer how a step is undone."""
    said = _UNDO[kind]
    if tier is not None and tier.progress and kind == "comes":
        return f"its data goes back, then {said}"
    return said


def no_return(kind: str) -> str:
    """Answer from when on a step is only finished; '' when it never comes to that."""
    return _NO_RETURN.get(kind, "")
