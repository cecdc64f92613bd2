"""A climb as recorded, put together: what each step and each rung was like, and what it cost. Pure.

It judges nothing: whether a promise was broken is the verdict's to say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from millions.drill.checker import check
from millions.drill.climbs import marks
from millions.drill.climbs import samples as s
from millions.drill.climbs.answers import Answers

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from millions.climb.record import Event
    from millions.drill.checker import Verdict
    from millions.drill.checker.timing import Bucket
    from millions.drill.climbs.answers import Figures
    from millions.drill.climbs.marks import Stay, Step
    from millions.drill.climbs.samples import Sample
    from millions.drill.history import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Drive:
    """What is known of a drive beside what was recorded: `began_at_s` is a unix time.

    Clients asked without pause from `load_from` until `load_until`, in seconds of the history's
    clock. `rung` is the one that the stack stood on at first; `engines` are programs with their
    versions, `machine` says in words what it ran on.
    """

    name: str
    workload: str
    began_at_s: float
    load_from: float
    load_until: float
    rung: int
    clients: int
    rate_per_s: float
    cores: int
    machine: str = ""
    engines: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Climbed:
    """One step, and what its requests were like."""

    step: Step
    figures: Figures


@dataclass(frozen=True, slots=True, kw_only=True)
class Stood:
    """One stay on a rung: its requests, and what it took. `units` and the rest go by tier."""

    stay: Stay
    figures: Figures
    units: Mapping[str, int]
    cpu_s: Mapping[str, float]
    memory_mib: Mapping[str, float]

    @property
    def cpu_a_request_s(self) -> float:
        """CPU seconds of all tiers for one good answer; 0 where there was none."""
        return sum(self.cpu_s.values()) / self.figures.good if self.figures.good else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ascent:
    """The whole climb. `levels` say from when on the stack stood on which rung.

    `whole` is what all of it was like while clients asked without pause, `line` the same over time.
    """

    drive: Drive
    verdict: Verdict
    whole: Figures
    line: tuple[Bucket, ...]
    steps: tuple[Climbed, ...]
    stays: tuple[Stood, ...]
    levels: tuple[tuple[float, int], ...]
    samples: tuple[Sample, ...]

    @property
    def failed(self) -> int:
        """Requests that failed, or of which nobody knows."""
        return sum(each.in_flight + each.others for each in self.verdict.failures)

    @property
    def finished(self) -> bool:
        """Whether the last step came to its end, and none of the others is still under way."""
        states = [each.step.state for each in self.steps]
        return "began" not in states and states[-1:] != ["failed"]

    @property
    def well(self) -> bool:
        """Whether no promise is broken, no request failed and every step came to its end."""
        return self.verdict.well and not self.failed and self.finished

    @property
    def worst_step(self) -> Climbed | None:
        """The step with the longest pause."""
        return max(self.steps, key=lambda each: each.figures.pause, default=None)


def ascent(
    drive: Drive,
    records: Iterable[Record],
    events: Sequence[Event],
    samples: Sequence[Sample],
) -> Ascent:
    """Put together what was recorded, and let the checker judge it."""
    answers = Answers()
    verdict = check(answers.passing(records))
    inside = [each for each in events if each.at_s >= drive.began_at_s]
    began, until = drive.load_from, drive.load_until
    found = marks.steps(inside, origin=drive.began_at_s, until=until)
    standing = marks.levels(inside, origin=drive.began_at_s, rung=drive.rung)
    stood = marks.stays(found, standing, began=began, until=until)
    return Ascent(
        drive=drive,
        verdict=verdict,
        whole=answers.between(began, until),
        line=answers.line(began, until),
        steps=tuple(
            Climbed(step=each, figures=answers.between(each.began, each.ended)) for each in found
        ),
        stays=tuple(_stood(each, answers, samples) for each in stood),
        levels=standing,
        samples=tuple(samples),
    )


def _stood(stay: Stay, answers: Answers, samples: Sequence[Sample]) -> Stood:
    return Stood(
        stay=stay,
        figures=answers.between(stay.began, stay.ended),
        units=s.units(samples, stay.ended),
        cpu_s=s.cpu_s(samples, stay.began, stay.ended),
        memory_mib=s.memory_mib(samples, stay.began, stay.ended),
    )
