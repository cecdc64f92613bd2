"""From one revision of a unit to the next: which step follows from where both stand.

Pure. The table is the whole machine; `plan` turns a step into an action.

Source: the table form follows h11 `_state.py`; stop-then-start and start-then-drain are the
Recreate and RollingUpdate strategies of Kubernetes deployments.
"""

from __future__ import annotations

from enum import Enum

from millions.model import Phase, Process, Seen, Trouble, Unit

WITHIN_S = 30.0
"""How long a process without a probe may take to become ready."""


class Stand(Enum):
    """Where the process of the revision that we aim at stands."""

    ABSENT = "absent"
    STARTING = "starting"
    LATE = "late"
    READY = "ready"
    UNREADY = "unready"
    HUNG = "hung"
    LEAVING = "leaving"


class Former(Enum):
    """Where the processes of all other revisions stand."""

    NONE = "none"
    RUNNING = "running"
    LEAVING = "leaving"


class Step(Enum):
    """What is done next."""

    WAIT = "wait"
    BEGIN = "begin"
    ABANDON = "abandon"
    RETIRE = "retire"
    REVIVE = "revive"
    DONE = "done"


TABLE: dict[tuple[Stand, Former], tuple[Step, Step]] = {
    # (aimed at, former): (stop then start, handover: start then drain)
    (Stand.ABSENT, Former.NONE): (Step.BEGIN, Step.BEGIN),
    (Stand.ABSENT, Former.RUNNING): (Step.RETIRE, Step.BEGIN),
    (Stand.ABSENT, Former.LEAVING): (Step.WAIT, Step.BEGIN),
    (Stand.STARTING, Former.NONE): (Step.WAIT, Step.REVIVE),
    (Stand.STARTING, Former.RUNNING): (Step.RETIRE, Step.WAIT),
    (Stand.STARTING, Former.LEAVING): (Step.WAIT, Step.WAIT),
    (Stand.LATE, Former.NONE): (Step.ABANDON, Step.ABANDON),
    (Stand.LATE, Former.RUNNING): (Step.ABANDON, Step.ABANDON),
    (Stand.LATE, Former.LEAVING): (Step.ABANDON, Step.ABANDON),
    (Stand.READY, Former.NONE): (Step.DONE, Step.DONE),
    (Stand.READY, Former.RUNNING): (Step.RETIRE, Step.RETIRE),
    (Stand.READY, Former.LEAVING): (Step.WAIT, Step.WAIT),
    (Stand.UNREADY, Former.NONE): (Step.WAIT, Step.WAIT),
    (Stand.UNREADY, Former.RUNNING): (Step.RETIRE, Step.WAIT),
    (Stand.UNREADY, Former.LEAVING): (Step.WAIT, Step.WAIT),
    (Stand.HUNG, Former.NONE): (Step.ABANDON, Step.ABANDON),
    (Stand.HUNG, Former.RUNNING): (Step.ABANDON, Step.ABANDON),
    (Stand.HUNG, Former.LEAVING): (Step.ABANDON, Step.ABANDON),
    (Stand.LEAVING, Former.NONE): (Step.WAIT, Step.WAIT),
    (Stand.LEAVING, Former.RUNNING): (Step.WAIT, Step.WAIT),
    (Stand.LEAVING, Former.LEAVING): (Step.WAIT, Step.WAIT),
}


def trouble_of(seen: Seen, revision: str) -> Trouble | None:
    """What went wrong with this revision, if anything did."""
    for trouble in seen.troubles:
        if trouble.revision == revision:
            return trouble
    return None


def has_run(seen: Seen, revision: str) -> bool:
    """Whether this revision was ready once, and has died since it was asked for."""
    good = seen.good
    return good is not None and good.revision == revision and trouble_of(seen, revision) is not None


def aim(unit: Unit, seen: Seen) -> Unit:
    """The specification that should run: the wanted one, or the last good one when that failed.

    Only a unit with a handover goes back by itself: for any other the former revision is gone by
    the time that the new one fails.
    """
    return seen.good or unit if has_gone_back(unit, seen) else unit


def has_gone_back(unit: Unit, seen: Seen) -> bool:
    """Whether the wanted revision has failed, so that the last good one runs on."""
    good = seen.good
    if not unit.handover or good is None or good.revision == unit.revision:
        return False
    return trouble_of(seen, unit.revision) is not None


def stay(unit: Unit, seen: Seen) -> Unit:
    """What a unit runs on with when the rollout of another one of its group has failed."""
    good = seen.good
    if not unit.handover or good is None or good.revision == unit.revision:
        return unit
    process = current(seen, unit.revision)
    return unit if process is not None and process.phase is Phase.READY else good


def current(seen: Seen, revision: str) -> Process | None:
    """The process of this revision, one that is not being stopped if there is one."""
    found: Process | None = None
    for process in seen.processes:
        if process.spec.revision == revision:
            found = process
            if process.phase is not Phase.STOPPING:
                return process
    return found


def former(seen: Seen, revision: str) -> tuple[Process, ...]:
    """Every process of another revision, also those being stopped."""
    return tuple(each for each in seen.processes if each.spec.revision != revision)


def stand(process: Process | None, unit: Unit, now_s: float, *, needs_ready: bool) -> Stand:
    """Where `process` (of `unit`) stands at `now_s`.

    What holds data is given all the time that it takes, because a stop in the middle of its
    recovery makes it begin again; so is a process that waits for what it needs. One that was ready
    and does not even refuse to answer hangs where its probe says so (`hung_after`).
    """
    if process is None:
        return Stand.ABSENT
    if process.phase is Phase.STARTING:
        late = not unit.holds_data and now_s - process.since_s > within_s(unit)
        return Stand.LATE if late else Stand.STARTING
    if process.phase is Phase.UNREADY:
        late = now_s - process.changed_s > within_s(unit)
        hung = (late and needs_ready and not unit.holds_data) or is_silent(process, unit)
        return Stand.HUNG if hung else Stand.UNREADY
    return Stand.READY if process.phase is Phase.READY else Stand.LEAVING


def is_silent(process: Process, unit: Unit) -> bool:
    """Whether it has left as many questions in a row unanswered as say that it hangs."""
    return unit.probe is not None and 0 < unit.probe.hung_after <= process.silent


def former_stand(processes: tuple[Process, ...]) -> Former:
    """Where the processes of other revisions stand together."""
    if not processes:
        return Former.NONE
    if all(each.phase is Phase.STOPPING for each in processes):
        return Former.LEAVING
    return Former.RUNNING


def within_s(unit: Unit) -> float:
    """How long a process of `unit` may take to become ready."""
    return unit.probe.within_s if unit.probe is not None else WITHIN_S
