"""The status: what is told about each unit, in words for people and fields for programs.

It decides nothing; the planner's verdicts and the records are put into words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from millions.model import Phase, Seen, Unit
from millions.reconcile import rollout
from millions.runtime.status import Status, UnitStatus

if TYPE_CHECKING:
    from millions.model import Observed
    from millions.reconcile.plan import Verdict
    from millions.runtime.crew import Crew
    from millions.runtime.record import ProcessRecord, UnitRecord
    from millions.runtime.status import ScalingStatus


def report(  # what it is made of, by keyword
    crew: Crew,
    wanted: tuple[Unit, ...],
    observed: Observed,
    *,
    verdicts: tuple[Verdict, ...],
    pid: int,
    epoch: int,
    problem: str,
    scaling: tuple[ScalingStatus, ...] = (),
) -> Status:
    """The status of this round."""
    specs = {unit.name: unit for unit in wanted}
    seen = {each.name: each for each in observed.units}
    actions = tuple(str(each.action) for each in verdicts if each.action is not None)
    return Status(
        generation=crew.generation,
        at_s=observed.now_s,
        supervisor_pid=pid,
        epoch=epoch,
        units=tuple(
            _unit(crew, specs.get(each.unit), seen.get(each.unit), each) for each in verdicts
        ),
        settled=all(each.settled for each in verdicts),
        failed=tuple(each.unit for each in verdicts if each.failed),
        actions=actions or _under_way(crew),
        problem=problem,
        scaling=scaling,
    )


def _under_way(crew: Crew) -> tuple[str, ...]:
    """Long actions that were begun in an earlier round."""
    lines: list[str] = []
    for record in crew.ledger.records():
        if record.preparing is not None:
            lines.append(f"prepare {record.name}: under way")
        lines += [
            f"stop {record.name} #{each.number}: under way"
            for each in record.processes
            if each.phase is Phase.STOPPING
        ]
    lines += [f"change {name} #{number}: under way" for name, number in sorted(crew.changing)]
    return tuple(lines)


def _unit(crew: Crew, unit: Unit | None, seen: Seen | None, verdict: Verdict) -> UnitStatus:
    record = crew.ledger.get(verdict.unit)
    process = _told(record)
    spec = process.spec if process is not None else unit or record.good
    return UnitStatus(
        name=verdict.unit,
        tier=spec.tier if spec is not None else "",
        revision=spec.revision if spec is not None else "",
        release=spec.release if spec is not None else "",
        phase=_phase(unit, seen, process, verdict),
        pid=process.identity.pid if process is not None and process.identity else None,
        address=_address(spec, process),
        public=tuple(str(each) for each in spec.public) if spec is not None else (),
        since_s=process.since_s if process is not None else 0.0,
        restarts=record.restarts,
        why=_why(crew, unit, process, verdict),
        next_start_at_s=verdict.next_start_at_s,
    )


_RANK = (Phase.READY, Phase.UNREADY, Phase.STARTING, Phase.STOPPING, Phase.EXITED)


def _told(record: UnitRecord) -> ProcessRecord | None:
    """The process that is told about: the one that serves best, the newest of equals."""
    return min(
        record.processes, key=lambda each: (_RANK.index(each.phase), -each.number), default=None
    )


def _address(spec: Unit | None, process: ProcessRecord | None) -> str:
    address = process.address if process is not None else None
    if address is None and spec is not None:
        address = spec.address
    return str(address) if address is not None else ""


def _phase(
    unit: Unit | None, seen: Seen | None, process: ProcessRecord | None, verdict: Verdict
) -> str:
    if process is not None and process.phase is not Phase.STOPPING:
        return str(process.phase.value)
    if seen is not None and seen.busy:
        return "preparing"
    if process is not None:
        return "stopping" if unit is None or not process.blame else "failing"
    if unit is None:
        return "kept"
    troubled = seen is not None and rollout.trouble_of(seen, unit.revision) is not None
    return "failing" if verdict.failed or troubled else "waiting"


def _why(crew: Crew, unit: Unit | None, process: ProcessRecord | None, verdict: Verdict) -> str:
    """What somebody should know: a failure with its last lines, else what is waited for."""
    record = crew.ledger.get(verdict.unit)
    revision = unit.revision if unit is not None else ""
    trouble = next((each for each in record.troubles if each.revision == revision), None)
    lines: list[str] = []
    if unit is not None and process is not None and process.spec.revision != revision:
        wanted = unit.release or revision
        lines.append(
            f"{wanted} did not become ready; this one goes on"
            if trouble is not None
            else f"{wanted} is on its way"
        )
    if trouble is not None:
        times = "once" if trouble.failures == 1 else f"{trouble.failures} times in a row"
        lines.append(f"failed {times}: {trouble.words}")
    if verdict.waits and not (process is None and trouble is not None):
        lines.append(verdict.waits)
    if process is not None and process.phase in (Phase.STARTING, Phase.UNREADY):
        lines.append(crew.watch.said(verdict.unit, process.number))
    return "\n".join(line for line in lines if line)
