"""Waits grow, are bounded, and differ between tasks that failed together."""

from hypothesis import given
from hypothesis import strategies as st

from millions.sdk.tasks import backoff

chances = st.floats(0, 1, exclude_max=True)


@given(st.integers(1, 10_000), chances)
def test_a_wait_is_positive_and_bounded(failures, chance):
    assert 0 < backoff.delay_s(failures, chance=chance) <= backoff.LONGEST_S


@given(st.integers(1, 100), chances)
def test_the_next_wait_is_never_shorter_than_the_shortest_of_this_one(failures, chance):
    shortest = backoff.delay_s(failures, chance=0)
    assert backoff.delay_s(failures + 1, chance=chance) >= shortest


def test_jitter_spreads_what_failed_together_over_half_of_the_wait():
    first, last = (backoff.delay_s(5, chance=chance) for chance in (0, 0.999))
    assert last > 1.9 * first


def test_the_default_eight_retries_take_between_two_and_five_minutes():
    for chance in (0.0, 0.999):
        assert 120 < sum(backoff.delay_s(n, chance=chance) for n in range(1, 9)) < 300


@given(st.floats(0, backoff.UNKNOWN_KEPT_S, exclude_max=True), chances)
def test_an_unknown_task_is_offered_again_within_a_minute(age_s, chance):
    delay_s = backoff.unknown_delay_s(age_s, chance=chance)
    assert delay_s is not None
    assert 0 < delay_s <= backoff.UNKNOWN_LONGEST_S


def test_an_unknown_task_is_buried_after_an_hour():
    assert backoff.unknown_delay_s(backoff.UNKNOWN_KEPT_S, chance=0.5) is None
