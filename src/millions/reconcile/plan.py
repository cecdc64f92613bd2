"""The planner: `plan(goal, observed)` gives the actions that lead from one to the other.

Pure: it depends on its two arguments only. At most one action per unit and round; none when all is
well. It knows units, never kinds of tiers, and never stops what is well or erases data without
consent.

Source: docker/compose `pkg/compose/reconcile.go`, nomad `scheduler/reconciler`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from millions.model import (
    Action,
    Erase,
    Forget,
    Goal,
    Observed,
    Phase,
    Preparation,
    Prepare,
    Process,
    Seen,
    Start,
    Stop,
    Unit,
)
from millions.reconcile import groups, rollout
from millions.reconcile.backoff import has_failed, next_start_at_s
from millions.reconcile.heirs import heir
from millions.reconcile.rollout import Former, Stand, Step
from millions.reconcile.sharing import Sharing
from millions.reconcile.users import users
from millions.reconcile.view import View

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PROCESSES_MAX = 2
"""Processes of one unit at a time: the one that serves and the one that comes or goes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the planner says of one unit: an action, or what it waits for and until when."""

    unit: str
    action: Action | None = None
    waits: str = ""
    next_start_at_s: float | None = None
    failed: bool = False
    settled: bool = False


def plan(goal: Goal, observed: Observed) -> tuple[Action, ...]:
    """The actions of this round, in the order of the units; empty when nothing is to be done."""
    return tuple(each.action for each in verdicts(goal, observed) if each.action is not None)


def verdicts(goal: Goal, observed: Observed) -> tuple[Verdict, ...]:
    """What is to be said of each unit: wanted ones in their order, then those that are to go."""
    view = View(goal, observed)
    sharing = Sharing(view)
    wanted = [_wanted(unit, view, sharing) for unit in goal.units]
    used = users(view)
    gone = [_unwanted(seen, view, used) for seen in observed.units if seen.name not in view.wanted]
    return (*wanted, *gone)


def text(actions: tuple[Action, ...]) -> str:
    """The plan as lines of text, stable for equal plans."""
    return "\n".join(str(action) for action in actions)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Facts:
    """The facts of one wanted unit in one round."""

    unit: Unit
    aim: Unit
    seen: Seen
    process: Process | None
    others: tuple[Process, ...]
    stand: Stand
    view: View
    sharing: Sharing

    @property
    def now_s(self) -> float:
        """The time of this round."""
        return self.view.now_s


def _wanted(unit: Unit, view: View, sharing: Sharing) -> Verdict:
    seen, aim = view.of(unit.name), view.aims[unit.name]
    process = rollout.current(seen, aim.revision)
    needs_ready = view.unmet(aim) is None
    facts = _Facts(
        unit=unit,
        aim=aim,
        seen=seen,
        process=process,
        others=rollout.former(seen, aim.revision),
        stand=rollout.stand(process, aim, view.now_s, needs_ready=needs_ready),
        view=view,
        sharing=sharing,
    )
    verdict = _while_preparing(facts) if seen.busy else _step(facts)
    return verdict if verdict.action is not None else _tell(facts, verdict)


def _step(facts: _Facts) -> Verdict:
    """What the rollout asks for. A ready member of a group waits until it is its turn."""
    former = rollout.former_stand(facts.others)
    if facts.stand is Stand.ABSENT and former is Former.RUNNING:
        other = groups.blocker(facts.unit.name, facts.view)
        if other:
            waits = f"waits for {other}: one of {facts.unit.group} at a time"
            return Verdict(unit=facts.unit.name, waits=waits, failed=_is_failed(facts))
    return _VERDICTS[rollout.TABLE[facts.stand, former][1 if facts.aim.handover else 0]](facts)


def _tell(facts: _Facts, verdict: Verdict) -> Verdict:
    """Tell a running process of new files and servers, when nothing else is to be done."""
    for process in facts.seen.processes:
        action = facts.sharing.change(process, facts.aim, facts.unit)
        if action is None:
            continue
        failed = _is_failed(facts)
        at_s = next_start_at_s(rollout.trouble_of(facts.seen, process.spec.revision))
        if at_s > facts.now_s:
            waits = "could not be changed"
            return Verdict(unit=facts.unit.name, waits=waits, next_start_at_s=at_s, failed=failed)
        return Verdict(unit=facts.unit.name, action=action, failed=failed)
    if verdict.settled and any(each.changing for each in facts.seen.processes):
        return Verdict(unit=facts.unit.name, waits="takes up its changes", failed=verdict.failed)
    return verdict


def _done(facts: _Facts) -> Verdict:
    if facts.aim is facts.unit:
        return Verdict(unit=facts.unit.name, settled=True)
    if rollout.trouble_of(facts.seen, facts.unit.revision) is not None:
        return Verdict(unit=facts.unit.name, failed=True)
    waits = f"stays as it is: another one of {facts.unit.group} failed"
    return Verdict(unit=facts.unit.name, waits=waits)


def _wait(facts: _Facts) -> Verdict:
    if facts.stand is Stand.STARTING:
        waits = "starts"
    elif facts.stand is Stand.UNREADY:
        waits = "does not answer"
    elif facts.others:
        waits = f"waits for #{facts.others[0].number} to stop"
    else:
        waits = "stops"
    return Verdict(unit=facts.unit.name, waits=waits, failed=_is_failed(facts))


def _while_preparing(facts: _Facts) -> Verdict:
    """Leave the unit alone, except that the last good revision goes on serving."""
    if facts.aim.handover and not facts.seen.processes:
        verdict = _revive(facts)
        if isinstance(verdict.action, Start):
            return verdict
    return Verdict(unit=facts.unit.name, waits="a preparation runs", failed=_is_failed(facts))


def _revive(facts: _Facts) -> Verdict:
    """Start the last good revision again, which died before the new one was ready."""
    good = facts.seen.good
    if good is None or not good.handover or good.revision == facts.aim.revision:
        return _wait(facts)  # without a handover it could not run beside the one that starts
    return _begin(facts, good)


def _is_failed(facts: _Facts) -> bool:
    """Whether the unit is reported as failed although it is still being tried."""
    if rollout.has_gone_back(facts.unit, facts.seen):
        return True
    process = facts.process
    overdue = (
        facts.aim.holds_data  # is not stopped for being late, unlike any other
        and process is not None
        and process.phase is Phase.STARTING
        and facts.now_s - process.since_s > rollout.within_s(facts.aim)
    )
    return overdue or has_failed(rollout.trouble_of(facts.seen, facts.aim.revision))


def _begin(facts: _Facts, spec: Unit) -> Verdict:
    """Prepare or start `spec`, or say what that waits for."""
    name, failed = facts.unit.name, _is_failed(facts)
    unmet = _unmet(facts, spec)
    if unmet:
        return Verdict(unit=name, waits=f"waits for {unmet}", failed=failed)
    if len(facts.seen.processes) >= PROCESSES_MAX:
        return _make_room(facts)
    trouble = rollout.trouble_of(facts.seen, spec.revision)
    at_s = next_start_at_s(trouble)
    if at_s > facts.now_s:
        return Verdict(unit=name, waits="keeps failing", next_start_at_s=at_s, failed=failed)
    why, shared = _cause_of_start(facts, spec), facts.sharing.spec(spec, facts.unit)
    for preparation in spec.prepare:
        if not groups.is_prepared(name, preparation, facts.view):
            return _prepare(facts, shared, preparation, why)
    return Verdict(unit=name, action=Start(unit=name, why=why, spec=shared), failed=failed)


def _unmet(facts: _Facts, spec: Unit) -> str:
    """What `spec` cannot begin without: what it needs, and someone to ask where it shares."""
    ran = rollout.has_run(facts.seen, spec.revision)
    unmet = facts.view.unmet(spec, ran=ran)
    if unmet is None and spec.pool is not None and spec.pool.servers:
        shared = facts.sharing.spec(spec, facts.unit).pool
        return "" if shared is not None and shared.servers else f"one of {spec.pool.backend}"
    return unmet or ""


def _prepare(facts: _Facts, spec: Unit, preparation: Preparation, why: str) -> Verdict:
    """Run a preparation; members of a group do so one after the other."""
    name, failed = facts.unit.name, _is_failed(facts)
    other = groups.preparing(name, preparation.key, facts.view)
    if other:
        return Verdict(unit=name, waits=f"waits for {other} to be prepared", failed=failed)
    why = f"it was not done yet; {why}"
    action = Prepare(unit=name, why=why, spec=spec, preparation=preparation)
    return Verdict(unit=name, action=action, failed=failed)


def _make_room(facts: _Facts) -> Verdict:
    """Stop the lesser of two former processes: one that is not ready, else the older one.

    So ends a rollout that a newer one overtakes.
    """
    name, failed = facts.unit.name, _is_failed(facts)
    running = [each for each in facts.others if each.phase is not Phase.STOPPING]
    if len(running) < PROCESSES_MAX:
        return Verdict(unit=name, waits="waits for the process before the last", failed=failed)
    least = min(running, key=lambda each: (each.phase is Phase.READY, each.number))
    why = f"{facts.aim.release or facts.aim.revision} is wanted"
    action = Stop(unit=name, why=why, number=least.number, steps=least.spec.stop)
    return Verdict(unit=name, action=action, failed=failed)


def _cause_of_start(facts: _Facts, spec: Unit) -> str:
    others = rollout.former(facts.seen, spec.revision)
    trouble = rollout.trouble_of(facts.seen, spec.revision)
    if trouble is not None:
        return f"failure {trouble.failures} in a row: {trouble.words.partition(chr(10))[0]}"
    if others:
        return f"replaces {others[0].spec.release or others[0].spec.revision}"
    return "nothing of it runs"


def _retire(facts: _Facts) -> Verdict:
    """Stop one process of another revision, when nobody counts on it any more."""
    name = facts.unit.name
    process = next(each for each in facts.others if each.phase is not Phase.STOPPING)
    waits = _held(facts, process)
    if waits:
        return Verdict(unit=name, waits=waits, failed=_is_failed(facts))
    aimed = facts.aim.release or facts.aim.revision
    why = f"{aimed} is ready" if facts.stand is Stand.READY else f"{aimed} is wanted"
    spares = _goes_on(facts, process)
    action = Stop(
        unit=name,
        why=f"{why}; its daemon goes on" if spares else why,
        number=process.number,
        steps=process.spec.stop,
        spares=spares,
    )
    return Verdict(unit=name, action=action, failed=_is_failed(facts))


def _goes_on(facts: _Facts, process: Process) -> bool:
    """Whether the daemon of a process goes on under its successor, which has nothing to prepare."""
    aim = facts.aim
    prepared = (groups.is_prepared(aim.name, each, facts.view) for each in aim.prepare)
    return process.spec.goes_on_as(aim) and all(prepared)


def _held(facts: _Facts, process: Process) -> str:
    """Why a process of another revision goes on; before its successor runs, that must be able to.

    Once the successor is ready, only the addresses count that it does not have.
    """
    name, view, sharing = facts.unit.name, facts.view, facts.sharing
    if facts.stand is Stand.ABSENT:
        unmet = _unmet(facts, facts.aim)
        if unmet:
            return f"waits for {unmet}"
        return (
            f"still gets requests from {sharing.leaving[name]}" if name in sharing.leaving else ""
        )
    if facts.stand is not Stand.READY:
        return ""
    asker, taker = sharing.asker(name, process, facts.aim), heir(name, process, view)
    if asker:
        return f"still gets requests from {asker}"
    return f"serves until {taker} does" if taker else ""


def _abandon(facts: _Facts) -> Verdict:
    """Stop a process that did not become ready in time, or has not answered for too long."""
    if facts.process is None:
        return _wait(facts)
    said = "was not ready" if facts.stand is Stand.LATE else "has not answered"
    why, steps = f"{said} within {rollout.within_s(facts.aim):g} s", facts.aim.stop
    if facts.stand is Stand.HUNG and rollout.is_silent(facts.process, facts.aim):
        why = f"has not answered {facts.process.silent} questions in a row"
        steps = facts.aim.stop if facts.aim.holds_data else ()  # what has none is not waited for
    action = Stop(
        unit=facts.unit.name,
        why=why,
        number=facts.process.number,
        steps=steps,
        failed=True,
    )
    return Verdict(unit=facts.unit.name, action=action, failed=_is_failed(facts))


_VERDICTS: dict[Step, Callable[[_Facts], Verdict]] = {
    Step.WAIT: _wait,
    Step.BEGIN: lambda facts: _begin(facts, facts.aim),
    Step.ABANDON: _abandon,
    Step.RETIRE: _retire,
    Step.REVIVE: _revive,
    Step.DONE: _done,
}


def _unwanted(seen: Seen, view: View, used: Mapping[str, str]) -> Verdict:
    """Stop, forget or erase a unit that is to go; users of it go first."""
    name = seen.name
    running = [each for each in seen.processes if each.phase is not Phase.STOPPING]
    if seen.busy:
        return Verdict(unit=name, waits="a preparation runs")
    if running and name in used:
        return Verdict(unit=name, waits=f"{used[name]} still uses it")
    taker = next((found for each in running if (found := heir(name, each, view))), "")
    if taker:
        return Verdict(unit=name, waits=f"serves until {taker} does")
    if running:
        process = running[0]
        action = Stop(unit=name, why="not wanted", number=process.number, steps=process.spec.stop)
        return Verdict(unit=name, action=action)
    return Verdict(unit=name, waits="stops") if seen.processes else _gone(seen, view)


def _gone(seen: Seen, view: View) -> Verdict:
    """What becomes of the folder of a unit of which nothing runs. Data is kept unless consented."""
    name = seen.name
    if name in view.consent:
        return Verdict(unit=name, action=Erase(unit=name, why="not wanted, and you consented"))
    if seen.has_data:
        return Verdict(unit=name, waits="its data is kept", settled=True)
    return Verdict(unit=name, action=Forget(unit=name, why="not wanted"))
