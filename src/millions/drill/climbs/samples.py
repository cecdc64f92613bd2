"""What each tier used, sampled once a second: a file of JSON lines, and sums over a stretch of it.

    {"at": 12.0, "tiers": {"web": [2, 8.31, 183.2], "database": [1, 3.02, 96.5]}}

The three numbers are units, seconds of CPU since the first sample, and MiB of memory. Pure but for
`read`; times are seconds of the history's clock.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """What one tier had used by one moment."""

    units: int
    cpu_s: float
    memory_mib: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """All tiers at one moment."""

    at: float
    tiers: Mapping[str, Use]

    def line(self) -> bytes:
        """The sample as a line of the file."""
        tiers = {
            name: [each.units, round(each.cpu_s, 3), round(each.memory_mib, 2)]
            for name, each in self.tiers.items()
        }
        return orjson.dumps({"at": round(self.at, 3), "tiers": tiers}) + b"\n"


def parse(lines: Iterable[bytes]) -> tuple[Sample, ...]:
    """Read lines; a last one without its end was cut off and is left out."""
    found: list[Sample] = []
    for line in lines:
        if not line.endswith(b"\n"):
            break
        value = orjson.loads(line)
        tiers = {
            name: Use(units=units, cpu_s=cpu, memory_mib=memory)
            for name, (units, cpu, memory) in value["tiers"].items()
        }
        found.append(Sample(at=value["at"], tiers=tiers))
    return tuple(found)


def read(path: Path) -> tuple[Sample, ...]:
    """Read the file (blocking); nothing when there is none."""
    try:
        with path.open("rb") as file:
            return parse(file)
    except FileNotFoundError:
        return ()


def names(samples: Sequence[Sample]) -> tuple[str, ...]:
    """The tiers in the order in which they appeared; those that came together by name."""
    found: dict[str, None] = {}
    for sample in samples:
        for name in sorted(sample.tiers):
            found.setdefault(name)
    return tuple(found)


def cpu_s(samples: Sequence[Sample], began: float, ended: float) -> dict[str, float]:
    """CPU seconds of each tier between two moments; between two samples it was used evenly."""
    found = {
        name: _used(samples, name, ended) - _used(samples, name, began) for name in names(samples)
    }
    return {name: seconds for name, seconds in found.items() if seconds > 0}


def memory_mib(samples: Sequence[Sample], began: float, ended: float) -> dict[str, float]:
    """Mean memory of each tier over the samples between two moments, or at the one before."""
    inside = [each for each in samples if began <= each.at <= ended]
    if not inside:
        inside = [each for each in samples if each.at <= ended][-1:]
    sums: dict[str, float] = {}
    for sample in inside:
        for name, use in sample.tiers.items():
            sums[name] = sums.get(name, 0.0) + use.memory_mib
    return {name: total / len(inside) for name, total in sums.items()}


def units(samples: Sequence[Sample], at: float) -> dict[str, int]:
    """How many units each tier had at the last sample before a moment."""
    before = [each for each in samples if each.at <= at]
    return {name: use.units for name, use in before[-1].tiers.items()} if before else {}


def _used(samples: Sequence[Sample], name: str, at: float) -> float:
    """What a tier had used by a moment: between two samples on the line between them."""
    place = bisect_left(samples, at, key=lambda each: each.at)
    after = _total(samples[: place + 1], name)
    before = _total(samples[:place], name)
    if place in (0, len(samples)):
        return after if place == 0 else before
    low, high = samples[place - 1].at, samples[place].at
    return before + (after - before) * (at - low) / (high - low)


def _total(samples: Sequence[Sample], name: str) -> float:
    """What a tier had used by the last sample that names it; a tier that left has used it still."""
    for sample in reversed(samples):
        if name in sample.tiers:
            return sample.tiers[name].cpu_s
    return 0.0
