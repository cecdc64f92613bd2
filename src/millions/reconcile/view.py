"""One round's view of a stack: what is aimed at, what is ready, which needs are met.

Pure; it decides nothing about a unit, but answers what deciding asks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from millions.model import Goal, Observed, Phase, Seen, Unit
from millions.reconcile import rollout

if TYPE_CHECKING:
    from collections.abc import Mapping


class View:
    """What is wanted and seen. `members` are the wanted units of each group, in their order."""

    __slots__ = ("aims", "consent", "members", "now_s", "ready", "seen", "serving", "wanted")

    def __init__(self, goal: Goal, observed: Observed) -> None:
        self.now_s = observed.now_s
        self.consent = frozenset(goal.consent)
        self.seen = {each.name: each for each in observed.units}
        self.wanted = {unit.name: unit for unit in goal.units}
        self.members = _members(goal)
        self.aims = _aims(goal, self.seen)
        self.serving = frozenset(each.name for each in observed.units if is_ready(each))
        self.ready = frozenset(name for name in self.wanted if self._is_ready(name))

    def of(self, name: str) -> Seen:
        """What was seen of a unit."""
        return self.seen.get(name) or Seen(name=name)

    def unmet(self, spec: Unit, *, ran: bool = False) -> str | None:
        """The first unit or group that `spec` needs and that is not ready.

        What is to run the same release has to run it first: its migration is done then. What `ran`
        and died does not wait for that, and one member of a group is enough for it.
        """
        return next(
            (
                each
                for each in spec.needs
                if not self.is_met(each, least=1 if ran else None)
                or (not ran and self._is_behind(each, spec))
            ),
            None,
        )

    def is_met(self, need: str, *, least: int | None = None) -> bool:
        """Whether a unit is ready, or enough members of a group are: `least`, or as it says."""
        if need in self.wanted:
            return need in self.ready
        names = self.members.get(need, ())
        enough = max((self.wanted[name].group_least for name in names), default=1)
        return sum(name in self.ready for name in names) >= (enough if least is None else least)

    def _is_behind(self, need: str, spec: Unit) -> bool:
        """Whether a unit or group will run the release of `spec`, and nothing of it does yet."""
        names = (need,) if need in self.wanted else self.members.get(need, ())
        same = [each for each in names if self.wanted[each].release == spec.release]
        return bool(spec.release and same) and not any(
            process.phase is Phase.READY and process.spec.release == spec.release
            for each in same
            for process in self.of(each).processes
        )

    def _is_ready(self, name: str) -> bool:
        """Whether a unit is ready for those that need it.

        A former revision counts where it serves until the new one does: with a handover, and in a
        group, of which one member is replaced at a time.
        """
        aim, seen = self.aims[name], self.of(name)
        lasting = aim.handover or len(self.members.get(aim.group, ())) > 1
        return any(
            process.phase is Phase.READY and (lasting or process.spec.revision == aim.revision)
            for process in seen.processes
        )


def is_ready(seen: Seen) -> bool:
    """Whether some process of the unit is ready, of whatever revision."""
    return any(process.phase is Phase.READY for process in seen.processes)


def _members(goal: Goal) -> dict[str, tuple[str, ...]]:
    members: dict[str, tuple[str, ...]] = {}
    for unit in goal.units:
        if unit.group:
            members[unit.group] = (*members.get(unit.group, ()), unit.name)
    return members


def _aims(goal: Goal, seen: Mapping[str, Seen]) -> dict[str, Unit]:
    """What each unit should run: the wanted specification, or the last good one.

    Where a member of a group has gone back, the others that have not followed yet stay behind too.
    """
    nothing = Seen(name="")
    aims = {unit.name: rollout.aim(unit, seen.get(unit.name, nothing)) for unit in goal.units}
    failed = {unit.group for unit in goal.units if unit.group and aims[unit.name] is not unit}
    if failed:
        for unit in goal.units:
            if unit.group in failed and aims[unit.name] is unit:
                aims[unit.name] = rollout.stay(unit, seen.get(unit.name, nothing))
    return aims
