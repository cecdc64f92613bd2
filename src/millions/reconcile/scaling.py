"""Scaling: how many copies of a unit there should be, from the work that is asked of them.

Pure: time is a field of what was read, and each decision carries its cause in words. It knows
neither balancers nor queues; `signals.py` turns what is seen of those into a `Reading`.

More come at once when the work is too much for those that are ready; as many as the growth of the
work says, and no more before those have shown what they do. Fewer come when fewer would have been
enough all the time for `idle_s`. Work under way says little about how many fewer: it hardly rises
before a copy is full, and then without bound. So what one copy could answer while it was full is
remembered, and no copy is taken away that this says is needed.

Source: the stabilization window of Kubernetes' HorizontalPodAutoscaler, the concurrency target of
Knative; the memory of what a full copy answers is our own (docs/decisions/0018-autoscaling.md).
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from enum import Enum

WINDOW_S = 1.0
"""What is read is averaged over so long: a burst that is over does not count, a step does soon."""

GAP_S = 3.0
"""After so long without a reading nobody knows what was asked meanwhile."""

SETTLE_S = 2.0
"""How long new copies work before what they do is judged: caches and connections are cold."""

PATIENCE_S = 20.0
"""Copies that are not ready after so long are not waited for any longer."""

COUNTED_MIN = 20
"""Fewer answers in a window say nothing about a rate."""

GROWS, SHRINKS = 1.1, 0.9
"""Asked for each answered: above, the backlog gets longer; below, shorter."""

HEADROOM = 1.25
"""So many more than the growth says, so that the backlog is worked off."""

DRAIN_S = 10.0
"""A backlog that those that are ready work off within so long needs no more of them."""

STEP = 1.5
"""So many times as many at most when the backlog only stands."""

PACE_S = 5.0
"""What is asked is averaged over so long to know who may go: a second of few requests is noise."""

SLACK = 0.8
"""How full those that stay may be when one goes: the distance between up and down."""

FULL = 0.75
"""The share of what full copies answered that those that stay are trusted with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How the copies of a group follow the work.

    `target` is the work that one copy is meant to have: requests under way, or the age in seconds
    of the oldest task. `first` counts the copies where none runs yet. Fewer are wanted when fewer
    would have been enough for `idle_s`. Another `release` may answer more, or less: what was
    learned of the one before is forgotten. `asks` is the page at the private address of each copy
    that says what there is to do; empty where the balancer before them knows.
    """

    group: str
    least: int
    most: int
    first: int
    target: float
    idle_s: float
    release: str = ""
    asks: str = ""

    def within(self, count: int) -> int:
        """The number nearest to `count` that the rule allows."""
        return min(max(count, self.least), self.most)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What was seen at `at_s` (unix seconds).

    `ready` copies take work, and `needed` is the number whose target the work under way would fill;
    `backlog` is the part of that work that is more than theirs.
    `asked` and `answered` count what came and what was done; they begin anew now and then. `words`
    say the same for people.
    """

    at_s: float
    ready: int
    needed: float
    asked: int
    answered: int
    backlog: float = 0.0
    words: str = ""


class Held(Enum):
    """Why there are not more, or fewer, although something spoke for it."""

    NO = ""
    MEASURES = "measures"
    STARTING = "waits until those that were added are ready and warm"
    MOST = "is at the most that is allowed"
    SHRINKING = "the backlog gets shorter"
    SILENT = "none answers: more would not help"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What outlives us: how many, since when and why; what a full copy answers each second.

    `full_rate` is 0 while that is not known of this `release`.
    """

    group: str
    count: int
    at_s: float = 0.0
    why: str = ""
    full_rate: float = 0.0
    release: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Enough:
    """So many copies would have been enough at `at_s`."""

    at_s: float
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaling:
    """A decision, and what it is made from. `since_s` begins the time that `enough` covers.

    `enough` falls: of an earlier reading only what no later one outdoes is kept. `ready_s` is the
    time since which as many copies are ready as now, `pace` what is asked each second, averaged;
    less than 0 while that is not known.
    """

    decided: Decided
    held: Held = Held.MEASURES
    readings: tuple[Reading, ...] = ()
    enough: tuple[Enough, ...] = ()
    since_s: float = 0.0
    ready_s: float = 0.0
    pace: float = -1.0


def decide(rule: Rule, scaling: Scaling, reading: Reading) -> Scaling:
    """What follows from one more reading: how many copies, why, and what holds them back."""
    scaling = allowed(rule, scaling, reading.at_s)
    count = scaling.decided.count
    scaling = _taken_in(scaling, reading)
    window = _Window(scaling.readings)
    if not window.whole:
        return dataclasses.replace(scaling, held=Held.MEASURES)
    scaling = _learned(rule, _paced(scaling, window), window)
    scaling = _recorded(rule, scaling, window)
    more, held = _more(rule, scaling, window)
    if more > count:
        return _changed(_too_few(scaling, window), reading.at_s, more, _cause(window))
    fewer = _fewer(rule, scaling, window)
    if fewer < count:
        why = f"fewer would have been enough for {rule.idle_s:g} s; {_cause(window)}"
        return _changed(scaling, reading.at_s, fewer, why)
    return dataclasses.replace(scaling, held=held)


def allowed(rule: Rule, scaling: Scaling, at_s: float) -> Scaling:
    """The same where the rule allows it; else the nearest number that it does."""
    count = rule.within(scaling.decided.count)
    if count == scaling.decided.count:
        return scaling
    return _changed(scaling, at_s, count, f"the stack file allows {rule.least} to {rule.most}")


class _Window:
    """The readings of the last second, and what they say together.

    `growth` is asked for each answered, in all of it and in its second half: a burst that is over
    is none. It is 1 where too few were answered to say.
    """

    __slots__ = ("answered", "answers", "asked", "growth", "last", "mean", "whole")

    def __init__(self, readings: tuple[Reading, ...]) -> None:
        first, self.last = readings[0], readings[-1]
        span_s = self.last.at_s - first.at_s
        self.whole = span_s >= WINDOW_S
        self.answers = self.last.answered - first.answered
        self.asked = (self.last.asked - first.asked) / span_s if span_s else 0.0
        self.answered = self.answers / span_s if span_s else 0.0
        later = readings[1:] or readings
        self.mean = sum(each.needed for each in later) / len(later)
        self.growth = min(_growth(first, self.last), _growth(later[len(later) // 2 - 1], self.last))

    @property
    def lasting(self) -> float:
        """What is needed, without a burst that is over already."""
        return min(self.mean, self.last.needed)

    @property
    def drain_s(self) -> float:
        """How long the backlog lasts at this pace."""
        faster = self.answered - self.asked
        return self.last.backlog / faster if faster > 0 else math.inf

    @property
    def highest(self) -> float:
        """What is needed, with a burst that has only begun."""
        return max(self.mean, self.last.needed)


def _growth(before: Reading, after: Reading) -> float:
    answers = after.answered - before.answered
    return (after.asked - before.asked) / answers if answers >= COUNTED_MIN else 1.0


def _cause(window: _Window) -> str:
    rates = f"{window.asked:.0f} asked and {window.answered:.0f} answered each second"
    return f"{window.last.words}; {rates}" if window.last.words else rates


def _changed(scaling: Scaling, at_s: float, count: int, why: str) -> Scaling:
    """Another number; what would have been enough is found out anew."""
    decided = dataclasses.replace(scaling.decided, count=count, at_s=at_s, why=why)
    return dataclasses.replace(
        scaling, decided=decided, held=Held.STARTING, enough=(), since_s=at_s
    )


def _taken_in(scaling: Scaling, reading: Reading) -> Scaling:
    """One more reading; what came before a gap, or before the counters began anew, is dropped."""
    former = scaling.readings
    last = former[-1] if former else None
    if last is None or not 0.0 <= reading.at_s - last.at_s <= GAP_S:
        return Scaling(
            decided=scaling.decided,
            readings=(reading,),
            since_s=reading.at_s,
            ready_s=reading.at_s,
        )
    if reading.answered < last.answered or reading.asked < last.asked:
        former = ()
    began = reading.at_s - WINDOW_S
    at = max((n for n, each in enumerate(former) if each.at_s <= began), default=0)
    ready_s = scaling.ready_s if reading.ready == last.ready else reading.at_s
    return dataclasses.replace(scaling, readings=(*former[at:], reading), ready_s=ready_s)


def _paced(scaling: Scaling, window: _Window) -> Scaling:
    """Average what is asked over a longer time than the window's."""
    passed_s = window.last.at_s - scaling.readings[-2].at_s
    former = window.asked if scaling.pace < 0 else scaling.pace
    pace = former + (window.asked - former) * min(1.0, passed_s / PACE_S)
    return dataclasses.replace(scaling, pace=pace)


def _learned(rule: Rule, scaling: Scaling, window: _Window) -> Scaling:
    """Remember what a copy answers while all are full, or more where they answer more."""
    decided, last = scaling.decided, window.last
    known = decided.full_rate if decided.release == rule.release else 0.0
    if last.ready and last.at_s - scaling.ready_s >= SETTLE_S:
        full, counted = window.lasting > last.ready, window.answers >= COUNTED_MIN
        rate = (window.answered if counted else scaling.pace) / last.ready
        if counted and full and 0 < rate < known:
            passed_s = last.at_s - scaling.readings[-2].at_s
            known += (rate - known) * min(1.0, passed_s / SETTLE_S)
        elif (counted and full) or (known and rate > known and (counted or not full)):
            known = rate
    decided = dataclasses.replace(decided, full_rate=known, release=rule.release)
    return dataclasses.replace(scaling, decided=decided)


def _too_few(scaling: Scaling, window: _Window) -> Scaling:
    """Remember that what is asked was too much, where answers were too few to be counted."""
    decided, ready = scaling.decided, window.last.ready
    if window.answers >= COUNTED_MIN or not ready or scaling.pace <= 0:
        return scaling
    too_much = scaling.pace / ready
    known = min(decided.full_rate or too_much, too_much)
    return dataclasses.replace(scaling, decided=dataclasses.replace(decided, full_rate=known))


def _recorded(rule: Rule, scaling: Scaling, window: _Window) -> Scaling:
    """Record how many copies would be enough now, with a distance to too few."""
    now_s, full_rate = window.last.at_s, scaling.decided.full_rate
    count = math.ceil(window.highest / SLACK)
    if full_rate:
        count = max(count, math.ceil(scaling.pace / (full_rate * FULL)))
    count = rule.within(count)
    kept = tuple(
        each for each in scaling.enough if each.count > count and now_s - each.at_s <= rule.idle_s
    )
    return dataclasses.replace(scaling, enough=(*kept, Enough(at_s=now_s, count=count)))


def _more(rule: Rule, scaling: Scaling, window: _Window) -> tuple[int, Held]:
    """How many there should be if these are too few, and what is in the way of more."""
    count, ready = scaling.decided.count, window.last.ready
    if count == 0:
        return rule.within(1 if window.lasting > 0 else 0), Held.NO
    held = _obstacle(rule, scaling, window)
    if held is not Held.NO or window.lasting <= ready:
        return count, held
    wanted = min(math.ceil(window.lasting), _reach(scaling, window))
    if window.last.at_s - scaling.decided.at_s > PATIENCE_S:
        wanted = max(wanted, count + 1)
    return rule.within(max(wanted, count)), Held.NO


def _obstacle(rule: Rule, scaling: Scaling, window: _Window) -> Held:
    """What is in the way of more, where more are needed."""
    if window.last.ready == 0:
        return Held.SILENT
    if window.lasting <= window.last.ready:
        return Held.NO
    if scaling.decided.count >= rule.most:
        return Held.MOST
    if not _settled(scaling, window):
        return Held.STARTING
    shrinks = window.growth < SHRINKS and window.drain_s <= DRAIN_S
    return Held.SHRINKING if shrinks else Held.NO


def _settled(scaling: Scaling, window: _Window) -> bool:
    """Whether those that are ready show what they can do, and are all that there will be.

    While others start, what is asked may grow beyond those too.
    """
    decided, last = scaling.decided, window.last
    if last.at_s - decided.at_s > PATIENCE_S:
        return True
    warm = last.at_s - scaling.ready_s >= SETTLE_S
    return warm and (last.ready >= decided.count or window.growth > GROWS)


def _reach(scaling: Scaling, window: _Window) -> int:
    """How many the growth speaks for: a backlog says that there are too few, not by how many."""
    ready, full_rate = window.last.ready, scaling.decided.full_rate
    if window.growth > GROWS:
        reach, rate = ready * window.growth * HEADROOM, window.asked * HEADROOM
    else:
        reach, rate = ready * STEP, window.asked + window.last.backlog / DRAIN_S
    if full_rate:
        reach = min(reach, rate / full_rate)
    return max(math.ceil(reach), ready + 1)


def _fewer(rule: Rule, scaling: Scaling, window: _Window) -> int:
    """How many there should be if fewer were enough for long enough.

    One at a time where nobody knows what a full copy answers. Those that are not ready count as
    missing: which ones would go is not asked here.
    """
    decided, now_s = scaling.decided, window.last.at_s
    if now_s - max(scaling.since_s, decided.at_s) < rule.idle_s:
        return decided.count
    enough = max(each.count for each in scaling.enough)
    missing = max(0, decided.count - window.last.ready)
    lowest = enough if decided.full_rate else max(enough, decided.count - 1)
    return min(decided.count, rule.within(lowest + missing))
