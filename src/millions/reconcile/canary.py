"""Whether a release does as well on one server as the one before it on the others.

Pure: counts in, a verdict out. It asks for enough requests to mean something, and for a difference
that is more than noise; a release that is a little slower goes on.

Source: the canary analysis of Kayenta and Argo Rollouts, in small.
"""

from __future__ import annotations

from dataclasses import dataclass

REQUESTS_MIN = 20
"""Fewer say nothing about a release."""

ERRORS_MIN = 3
ERRORS_FACTOR = 2.0
ERRORS_MORE = 0.01
"""Errors count when there are three, twice the others' share, and one request in a hundred more."""

WARM_UP = 0.25
"""Share of the time whose latency does not count: caches and connections are cold at first."""

SHARE = 0.9
LATENCY_FACTOR = 2.0
LATENCY_MORE_S = 0.05
"""It is slow when nine in ten answers take twice the others' time, and 50 ms more."""


def percent_of_all(percent: float, *, running: int, servers: int) -> float:
    """The share among all `servers` whose weight is `percent` among those that are `running`.

    Of `running` at least one and at most an even share; others may join meanwhile, and it gets
    less.
    """
    share = min(percent / 100, 1 / running)
    weight = share * (running - 1) / (1 - share) if running > 1 else 1.0
    return 100 * weight / (servers - 1 + weight)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What was answered in a while: `counts` of answers up to each of `bounds_s`, and above."""

    requests: int = 0
    errors: int = 0
    bounds_s: tuple[float, ...] = ()
    counts: tuple[int, ...] = ()

    @property
    def error_share(self) -> float:
        """Errors for each request."""
        return self.errors / self.requests if self.requests else 0.0

    def latency_s(self, share: float) -> float:
        """The time within which this share was answered, between two bounds by proportion."""
        total = sum(self.counts)
        if not total or not self.bounds_s:
            return 0.0
        wanted, below = share * total, 0
        for number, count in enumerate(self.counts):
            if below + count >= wanted and count:
                low = self.bounds_s[number - 1] if number else 0.0
                high = self.bounds_s[min(number, len(self.bounds_s) - 1)]
                return low + (high - low) * (wanted - below) / count
            below += count
        return self.bounds_s[-1]

    def since(self, before: Sample) -> Sample:
        """What came after `before`, of the same servers."""
        if not before.counts:
            return self
        return Sample(
            requests=self.requests - before.requests,
            errors=self.errors - before.errors,
            bounds_s=self.bounds_s,
            counts=tuple(now - then for now, then in zip(self.counts, before.counts, strict=True)),
        )

    def __add__(self, other: Sample) -> Sample:
        if not other.counts:
            return self
        if not self.counts:
            return other
        return Sample(
            requests=self.requests + other.requests,
            errors=self.errors + other.errors,
            bounds_s=self.bounds_s,
            counts=tuple(one + two for one, two in zip(self.counts, other.counts, strict=True)),
        )

    def __str__(self) -> str:
        share = f"{self.error_share:.1%}"
        return (
            f"{self.requests} requests, {self.errors} errors ({share}), "
            f"{SHARE:.0%} within {self.latency_s(SHARE) * 1e3:.0f} ms"
        )


def enough(canary: Sample) -> bool:
    """Whether it was asked often enough to be judged."""
    return canary.requests >= REQUESTS_MIN


def fails(canary: Sample, others: Sample) -> bool:
    """Whether the canary answers with more errors than the others."""
    most = max(others.error_share * ERRORS_FACTOR, others.error_share + ERRORS_MORE)
    return enough(canary) and canary.errors >= ERRORS_MIN and canary.error_share > most


def is_slow(canary: Sample, others: Sample) -> bool:
    """Whether the canary takes longer than the others."""
    theirs_s, its_s = others.latency_s(SHARE), canary.latency_s(SHARE)
    most_s = max(theirs_s * LATENCY_FACTOR, theirs_s + LATENCY_MORE_S)
    return enough(canary) and enough(others) and its_s > most_s


def histogram(cumulative: dict[float, int]) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """Bounds and counts from Prometheus' buckets, each of which counts all below it too."""
    bounds = sorted(each for each in cumulative if each != float("inf"))
    totals = [cumulative[each] for each in bounds]
    totals.append(cumulative.get(float("inf"), totals[-1] if totals else 0))
    counts = [now - then for now, then in zip(totals, [0, *totals[:-1]], strict=True)]
    return tuple(bounds), tuple(counts)
