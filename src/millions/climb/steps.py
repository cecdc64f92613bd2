"""The steps from one stack to another: one tier a step, and the stack after each. Pure.

What comes, comes in the order of the rungs; then what is only set differently; what goes, goes in
the reverse order, and gives its data back first. So the way back is the reverse of the way there.
"""

from __future__ import annotations

import dataclasses
import itertools
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from millions import rungs
from millions import stack as stacks
from millions.climb import words
from millions.tiers import tiers

if TYPE_CHECKING:
    from collections.abc import Iterable

    from millions.settings import Table
    from millions.settings.app import App
    from millions.stack import Stack
    from millions.tiers.kind import Tier

APP, SETTINGS, SCALING = "app", "settings", "scaling"
"""Names of the steps that are about no one tier."""

BACK = "-back"
"""Ends the name of the step that gives the data of a tier back before its servers go."""


class Kind(Enum):
    """What is done in a step."""

    COMES = "comes"
    CHANGES = "changes"
    MOVES = "moves"
    RETURNS = "returns"
    GOES = "goes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step; `stack` is what runs after it, `tier` '' where it is about several.

    `pause_s` is how long a write may wait meanwhile, `undo` says in words how it is undone,
    `no_return` from when on it is finished before anything else is done; '' for never.
    """

    name: str
    kind: Kind
    tier: str
    why: str
    stack: Stack
    rung_from: int
    rung_to: int
    pause_s: float = 0.0
    undo: str = ""
    no_return: str = ""


def way(origin: str, target: str, *, source: str = stacks.FILE_NAME) -> tuple[Stack, ...]:
    """Answer the stacks to go by from one text to another: one a rung, both ends included.

    Those in between are of the text with the higher rung, so that the way back goes by the same.
    """
    first, last = stacks.parse(origin, source=source), stacks.parse(target, source=source)
    low, high = sorted((first.rung, last.rung))
    between = [each for each in sorted(rungs.BUILT) if low < each < high]
    descends = last.rung < first.rung
    text = origin if descends else target
    passed = [stacks.parse(text, source=source, rung=each) for each in between]
    return (first, *(reversed(passed) if descends else passed), last)


def with_apps(way: tuple[Stack, ...], *, runs: App, wanted: App) -> tuple[Stack, ...]:
    """Answer the way where `runs` is the [app] table of what runs, and `wanted` the one after it.

    The first step takes one to the other, on the way down the last.
    """
    descends = way[-1].rung < way[0].rung
    last = len(way) - 1
    old = [at < last if descends else at == 0 for at in range(len(way))]
    return tuple(
        dataclasses.replace(each, app=runs if keeps else wanted)
        for each, keeps in zip(way, old, strict=True)
    )


def along(way: Iterable[Stack]) -> tuple[Step, ...]:
    """Answer the steps by all these stacks, one after the other."""
    found: list[Step] = []
    for origin, target in itertools.pairwise(way):
        found += steps(origin, target)
    return tuple(found)


def steps(origin: Stack, target: Stack) -> tuple[Step, ...]:
    """Answer the steps from one stack to another; none where the same runs on both."""
    descends = target.rung < origin.rung
    comes = [each for each in _ordered() if _comes(origin, target, each)]
    goes = [each for each in reversed(_ordered()) if _comes(target, origin, each)]
    moved = [each for each in _ordered() if _moved(origin, target, each)]
    way = _Way(origin=origin, target=target)
    if not descends:
        way.app()
        _move(way, moved)
    for tier in comes:
        way.add(tier.name, Kind.COMES, tier)
    changes = [way.settings, way.scaling]
    for change in reversed(changes) if descends else changes:
        change()
    for tier in goes:
        if tier.progress:
            way.add(f"{tier.name}{BACK}", Kind.RETURNS, tier)
        way.add(tier.name, Kind.GOES, tier)
    if descends:
        _move(way, moved)
        way.app()
    return way.done()


def _move(way: _Way, moved: Iterable[Tier]) -> None:
    for tier in moved:
        way.add(tier.name, Kind.MOVES, tier)


def _ordered() -> tuple[Tier, ...]:
    """All tiers in the order in which they come; of a rung first those for which nothing waits."""
    return tuple(sorted(tiers(), key=lambda each: (each.comes, each.pause_s, each.index)))


def _comes(origin: Stack, target: Stack, tier: Tier) -> bool:
    """Whether the tier has servers in `target` only, or none to be drained are left of it."""
    return target.has_servers(tier) and (
        not origin.has_servers(tier) or tier.name in origin.leaving
    )


def _moved(origin: Stack, target: Stack, tier: Tier) -> bool:
    return bool(tier.moved) and _server(origin, tier) != _server(target, tier)


def _server(stack: Stack, tier: Tier) -> int:
    return int(getattr(stack.tables.get(tier.name), "server", 0))


class _Way:
    """The steps so far, and the stack after them."""

    def __init__(self, *, origin: Stack, target: Stack) -> None:
        self._target = target
        self._ends = (origin.rung, target.rung)
        self._found: list[Step] = []
        self._now = dataclasses.replace(
            origin,
            rung=target.rung,
            rungs={each.name: origin.rung_of(each) for each in tiers()},
        )

    def add(self, name: str, kind: Kind, tier: Tier) -> None:
        """Add a step that takes one tier to its target, or as far as `kind` goes."""
        if kind is Kind.RETURNS:
            after = dataclasses.replace(self._now, leaving=self._now.leaving | {tier.name})
        elif kind is Kind.MOVES:
            now, server = self._now.tables[tier.name], _server(self._target, tier)
            after = self._with(self._now, tier, now.model_copy(update={"server": server}))
        else:
            found = self._with(self._now, tier, self._wanted(tier))
            after = dataclasses.replace(found, leaving=found.leaving - {tier.name})
        self._append(name, kind, after, tier)

    def app(self) -> None:
        """Add the step that takes the application's own table to the target, where it differs."""
        if self._now.app != self._target.app:
            after = dataclasses.replace(self._now, app=self._target.app)
            self._append(APP, Kind.CHANGES, after)

    def settings(self) -> None:
        """Add the step that changes tiers which have servers before and after, or never."""
        now, target = self._now, self._target
        after = now
        for each in tiers():
            before, wanted = now.tables.get(each.name), target.tables.get(each.name)
            same = now.has_servers(each) == target.has_servers(each)
            if same and not _alike(before, wanted, each):
                after = self._with(after, each, self._wanted(each))
        if after is not now:
            self._append(SETTINGS, Kind.CHANGES, after)

    def scaling(self) -> None:
        """Add the step from which on numbers of servers follow the load, or no longer do."""
        after, found = self._now, False
        for each in tiers():
            both = self._now.has_servers(each) and self._target.has_servers(each)
            if both and self._now.follows_load(each) != self._target.follows_load(each):
                found = True
                reached = {**after.rungs, each.name: self._target.rung_of(each)}
                after = dataclasses.replace(after, rungs=reached)
        if found:
            self._append(SCALING, Kind.CHANGES, after)

    def done(self) -> tuple[Step, ...]:
        """Answer the steps, the last of which ends at the target itself."""
        if self._found:
            self._found[-1] = dataclasses.replace(self._found[-1], stack=self._target)
        return tuple(self._found)

    def _append(self, name: str, kind: Kind, after: Stack, tier: Tier | None = None) -> None:
        step = Step(
            name=name,
            kind=kind,
            tier=tier.name if tier else "",
            why=words.why(kind.value, tier, name=name, ends=self._ends),
            stack=after,
            rung_from=self._ends[0],
            rung_to=self._ends[1],
            pause_s=tier.pause_s if tier else 0.0,
            undo=words.undo(kind.value, tier),
            no_return=words.no_return(kind.value),
        )
        self._found.append(step)
        self._now = after

    def _wanted(self, tier: Tier) -> Table | None:
        """The table of the target, on the server where its data is now."""
        found = self._target.tables.get(tier.name)
        if (
            found is None
            or not tier.moved
            or _server(self._now, tier) == _server(self._target, tier)
        ):
            return found
        return found.model_copy(update={"server": _server(self._now, tier)})

    def _with(self, stack: Stack, tier: Tier, table: Table | None) -> Stack:
        """The stack with this tier as it is in the target, and with this table of it."""
        tables = {name: each for name, each in stack.tables.items() if name != tier.name}
        if table is not None:
            tables[tier.name] = table
        reached = {**stack.rungs, tier.name: self._target.rung_of(tier)}
        if tier.scaled and self._now.has_servers(tier) and table is not None:
            reached = dict(stack.rungs)  # that is the step `scaling`
        return dataclasses.replace(stack, tables=tables, rungs=reached)


def _alike(one: Table | None, two: Table | None, tier: Tier) -> bool:
    """Whether two tables say the same, apart from the server that a move changes."""
    if one is None or two is None:
        return one is two
    apart = {"server"} if tier.moved else set[str]()
    given = (one.model_fields_set - apart, two.model_fields_set - apart)
    return given[0] == given[1] and one.model_dump(exclude=apart) == two.model_dump(exclude=apart)
