"""Signals: from what is seen of a balancer or a table of tasks to a reading for `scaling`.

Pure. Work under way is counted where it waits: at the balancer, whose queue grows at once, while
response times stay flat until it is too late. CPU is not looked at: a copy that waits for its
database is full without it.

Source: Little's law; the measurements in docs/decisions/0018-autoscaling.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from millions.reconcile.scaling import GAP_S, Reading

if TYPE_CHECKING:
    from millions.reconcile.scaling import Rule

SILENT_S = 3.0
"""A server that is asked and answers nothing for so long is stuck: what it has says nothing. One
that is asked nothing new meanwhile may have a long answer under way, or a stream."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSeen:
    """One server of a pool: what it has under way, and was asked and answered since it began."""

    name: str
    takes: bool
    under_way: int
    answered: int
    asked: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSeen:
    """A pool at one moment. `waiting` requests have no server yet; `asked` counts all that came."""

    at_s: float
    servers: tuple[ServerSeen, ...]
    waiting: int
    asked: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answering:
    """Of one server: how much it had answered, since when no more, and had been asked by then."""

    name: str
    answered: int
    since_s: float
    asked: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulse:
    """What is remembered of a pool: who answers, and how many answers there were of all."""

    at_s: float = 0.0
    servers: tuple[Answering, ...] = ()
    answered: int = 0


def of_pool(rule: Rule, pulse: Pulse, pool: PoolSeen) -> tuple[Pulse, Reading]:
    """Read a balancer's pool: its requests under way, for a target of so many for each server."""
    fresh = not 0.0 <= pool.at_s - pulse.at_s <= GAP_S
    known = {} if fresh else {each.name: each for each in pulse.servers}
    answering = tuple(_answering(each, known.get(each.name), pool.at_s) for each in pool.servers)
    more = sum(
        max(0, each.answered - known[each.name].answered)
        for each in pool.servers
        if each.name in known
    )
    after = Pulse(at_s=pool.at_s, servers=answering, answered=pulse.answered + more)
    silent = {
        each.name
        for each, last in zip(pool.servers, answering, strict=True)
        if pool.at_s - last.since_s >= SILENT_S and (pool.waiting or each.asked > last.asked)
    }
    able = [each for each in pool.servers if each.takes and each.name not in silent]
    under_way = sum(each.under_way for each in able)
    reading = Reading(
        at_s=pool.at_s,
        ready=len(able),
        needed=(under_way + pool.waiting) / rule.target,
        asked=pool.asked,
        answered=after.answered,
        backlog=max(0.0, under_way + pool.waiting - len(able) * rule.target),
        words=_words(rule, under_way, pool.waiting, len(able), sorted(silent)),
    )
    return after, reading


def _answering(server: ServerSeen, known: Answering | None, at_s: float) -> Answering:
    waits = known is not None and server.under_way > 0 and server.answered == known.answered
    if known is not None and waits:
        return known
    return Answering(name=server.name, answered=server.answered, since_s=at_s, asked=server.asked)


def _words(rule: Rule, under_way: int, waiting: int, able: int, silent: list[str]) -> str:
    servers = "1 server" if able == 1 else f"{able} servers"
    said = f"{under_way} requests under way and {waiting} waiting for {servers}"
    said += f", {rule.target:g} are meant for each"
    return f"{said}; no answer from {', '.join(silent)}" if silent else said


@dataclass(frozen=True, slots=True, kw_only=True)
class TasksSeen:
    """The tasks of one queue at one moment.

    `workers` take tasks, `slots` of them at a time each; `running` and `waiting` are due now, the
    `oldest_s` of which has waited longest. `added` and `done` only rise.
    """

    at_s: float
    workers: int
    slots: int
    running: int
    waiting: int
    oldest_s: float
    added: int
    done: int


def of_tasks(rule: Rule, seen: TasksSeen) -> Reading:
    """Read a queue: the age of its oldest task, for a target in seconds.

    Young tasks do not ask for more workers, however many they are; busy workers are not taken away.
    """
    late = seen.oldest_s / rule.target if seen.waiting else 0.0
    busy = min(seen.running / seen.slots, float(seen.workers))
    return Reading(
        at_s=seen.at_s,
        ready=seen.workers,
        needed=max(busy, late * max(1, seen.workers)),
        asked=seen.added,
        answered=seen.done,
        backlog=float(seen.waiting),
        words=f"{seen.waiting} tasks wait, the oldest for {seen.oldest_s:.1f} s, "
        f"{rule.target:g} s are meant; {seen.running} run on {seen.workers} workers",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSeen:
    """What one worker says: it holds so many tasks of `slots` at once, and `done` attempts ended.

    `waiting` tasks of its queues are held by nobody, of which one waits for `oldest_s`.
    """

    name: str
    slots: int
    held: int
    done: int
    waiting: int
    oldest_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What is remembered of workers: how much each had done, and all that was added and done."""

    at_s: float = 0.0
    workers: tuple[tuple[str, int], ...] = ()
    added: int = 0
    done: int = 0


def of_workers(
    rule: Rule, tally: Tally, at_s: float, workers: tuple[WorkerSeen, ...]
) -> tuple[Tally, Reading]:
    """Read what workers of the same queues say, at least one of them.

    Nobody counts what is enqueued: it is what was done since, and what is there more than before.
    """
    known = dict(tally.workers) if 0.0 <= at_s - tally.at_s <= GAP_S else {}
    more = sum(max(0, each.done - known.get(each.name, each.done)) for each in workers)
    done = tally.done + more
    held = sum(each.held for each in workers)
    running = sum(min(each.held, each.slots) for each in workers)
    waiting = max(each.waiting for each in workers)
    after = Tally(
        at_s=at_s,
        workers=tuple((each.name, each.done) for each in workers),
        added=max(tally.added, done + held + waiting),
        done=done,
    )
    seen = TasksSeen(
        at_s=at_s,
        workers=len(workers),
        slots=max(1, sum(each.slots for each in workers) // len(workers)),
        running=running,
        waiting=waiting + held - running,
        oldest_s=max(each.oldest_s for each in workers),
        added=after.added,
        done=done,
    )
    return after, of_tasks(rule, seen)
