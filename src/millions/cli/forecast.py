"""What the planner would do round after round if every action succeeds. Pure.

Source: terraform's plan, which shows all steps; our planner shows one round.
"""

from __future__ import annotations

import dataclasses

from millions.model import (
    Action,
    Erase,
    Forget,
    Goal,
    Observed,
    Phase,
    Prepare,
    Process,
    Reload,
    Seen,
    Share,
    Start,
    Stop,
)
from millions.reconcile.plan import plan

ROUNDS_MAX = 1_000
"""More than any chain of preparations, starts and stops; a planner that does not end would."""


def forecast(goal: Goal, observed: Observed) -> tuple[Action, ...]:
    """Answer every action from `observed` to `goal`, in the order of their beginnings."""
    units = {seen.name: _settled(seen) for seen in observed.units}
    done: list[Action] = []
    for _round in range(ROUNDS_MAX):
        now = Observed(now_s=observed.now_s, units=tuple(units[name] for name in sorted(units)))
        actions = plan(goal, now)
        if not actions:
            break
        for action in actions:
            done.append(action)
            _apply(units, action, observed.now_s)
    return tuple(done)


def _settled(seen: Seen) -> Seen:
    """What is under way is taken as finished."""
    processes = tuple(
        dataclasses.replace(each, phase=Phase.READY, changing=False)
        for each in seen.processes
        if each.phase is not Phase.STOPPING
    )
    return dataclasses.replace(seen, processes=processes, busy=False, troubles=())


def _apply(units: dict[str, Seen], action: Action, now_s: float) -> None:
    seen = units.get(action.unit, Seen(name=action.unit))
    match action:
        case Prepare():
            prepared = seen.prepared | {action.preparation.key}
            seen = dataclasses.replace(seen, prepared=prepared)
        case Start():
            seen = dataclasses.replace(seen, processes=(*seen.processes, _started(action, now_s)))
        case Stop():
            left = tuple(each for each in seen.processes if each.number != action.number)
            seen = dataclasses.replace(seen, processes=left)
        case Reload() | Share():
            known = tuple(
                dataclasses.replace(each, spec=action.spec)
                if each.number == action.number
                else each
                for each in seen.processes
            )
            seen = dataclasses.replace(seen, processes=known)
        case Forget() | Erase():
            units.pop(action.unit, None)
            return
        case _:
            raise NotImplementedError(type(action).__name__)
    units[action.unit] = seen


def _started(action: Start, now_s: float) -> Process:
    return Process(
        number=-1,  # below every real one; a forecast starts each unit once
        spec=action.spec,
        phase=Phase.READY,
        since_s=now_s,
        changed_s=now_s,
    )
