"""A release goes back for a difference that means something, and for nothing less."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millions.reconcile.canary import Sample, fails, histogram, is_slow, percent_of_all

BOUNDS_S = (0.01, 0.1, 1.0)


def sample(requests: int, errors: int = 0, *, seconds: float = 0.005) -> Sample:
    counts = [0, 0, 0, 0]
    counts[next((n for n, bound in enumerate(BOUNDS_S) if seconds <= bound), 3)] = requests
    return Sample(requests=requests, errors=errors, bounds_s=BOUNDS_S, counts=tuple(counts))


@pytest.mark.parametrize(
    ("canary", "others", "bad"),
    [
        pytest.param(sample(100, 50), sample(900), True, id="half of all"),
        pytest.param(sample(100, 3), sample(900), True, id="three in a hundred"),
        pytest.param(sample(100, 2), sample(900), False, id="two may be chance"),
        pytest.param(sample(19, 19), sample(900), False, id="too few requests to say"),
        pytest.param(sample(100, 10), sample(900, 90), False, id="no more than the others"),
        pytest.param(sample(100, 19), sample(900, 90), False, id="less than twice the others"),
        pytest.param(sample(100, 25), sample(900, 90), True, id="more than twice the others"),
        pytest.param(sample(100, 5), sample(0), True, id="nobody to compare with"),
    ],
)
def test_errors_count_when_they_are_more_than_chance(
    canary: Sample, others: Sample, *, bad: bool
) -> None:
    assert fails(canary, others) is bad


@pytest.mark.parametrize(
    ("canary", "others", "slow"),
    [
        pytest.param(sample(100, seconds=0.5), sample(900), True, id="a second against 10 ms"),
        pytest.param(sample(100), sample(900), False, id="the same"),
        pytest.param(sample(100), sample(900, seconds=0.5), False, id="quicker"),
        pytest.param(sample(10, seconds=0.5), sample(900), False, id="too few requests"),
        pytest.param(sample(100, seconds=0.5), sample(10), False, id="too few to compare with"),
    ],
)
def test_it_is_slow_when_most_answers_are(canary: Sample, others: Sample, *, slow: bool) -> None:
    assert is_slow(canary, others) is slow


def test_what_was_before_does_not_count() -> None:
    later = sample(300, 4).since(sample(100, 1))
    assert (later.requests, later.errors, sum(later.counts)) == (200, 3, 200)


def test_buckets_of_prometheus_count_what_is_below_them() -> None:
    assert histogram({0.1: 5, 1.0: 7, float("inf"): 9}) == ((0.1, 1.0), (5, 2, 2))
    assert histogram({}) == ((), (0,))


@given(
    st.lists(st.integers(0, 1000), min_size=4, max_size=4),
    st.floats(0.01, 1.0),
    st.floats(0.01, 1.0),
)
def test_latency_rises_with_the_share(counts: list[int], one: float, other: float) -> None:
    found = Sample(requests=sum(counts), bounds_s=BOUNDS_S, counts=tuple(counts))
    low, high = sorted((one, other))
    assert 0.0 <= found.latency_s(low) <= found.latency_s(high) <= BOUNDS_S[-1]


@given(st.integers(0, 5000), st.integers(0, 500))
def test_a_release_like_the_others_never_goes_back(requests: int, errors: int) -> None:
    errors = min(errors, requests)
    same = sample(requests, errors)
    assert not fails(same, same)
    assert not is_slow(same, same)


@given(st.floats(0.5, 50.0), st.integers(2, 8), st.integers(0, 8))
def test_a_canary_has_its_share_of_those_that_run(percent: float, running: int, more: int) -> None:
    """Its weight against each other server is the same whether others may join or not."""
    servers = running + more
    share = percent_of_all(percent, running=running, servers=servers) / 100
    against_one_other = share * (servers - 1) / (1 - share)
    among_running = against_one_other / (against_one_other + running - 1)
    assert among_running == pytest.approx(min(percent / 100, 1 / running))
    assert share <= 1 / servers + 1e-9
