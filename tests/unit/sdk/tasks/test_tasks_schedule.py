"""Schedules tick as cron does, in the time zone they name."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millions.errors import TaskError
from millions.sdk.tasks.schedule import Schedule

moments = st.timedeltas(timedelta(), timedelta(days=3650)).map(
    lambda passed: datetime(2020, 1, 1, tzinfo=UTC) + passed
)
expressions = st.sampled_from(
    ["* * * * *", "*/5 * * * *", "0 3 * * *", "15 2 * * 1", "0 0 1 * *", "*/10 * * * * *"]
)
zones = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York"])


@given(expressions, zones, moments)
def test_the_latest_tick_is_at_or_before_now_and_the_following_one_after(expression, zone, now):
    schedule = Schedule(name="t", expression=expression, timezone=zone)
    assert schedule.latest(now) <= now < schedule.following(now)


@given(expressions, moments)
def test_no_tick_lies_between_the_latest_and_the_following(expression, now):
    schedule = Schedule(name="t", expression=expression)
    latest, following = schedule.latest(now), schedule.following(now)
    assert schedule.following(latest) == following
    assert schedule.latest(following - timedelta(microseconds=1)) == latest


def test_a_tick_is_its_own_latest():
    tick = datetime(2026, 3, 1, 12, 5, tzinfo=UTC)
    schedule = Schedule(name="t", expression="*/5 * * * *")
    assert schedule.latest(tick) == tick
    assert schedule.latest(tick - timedelta(microseconds=1)) == tick - timedelta(minutes=5)


def test_a_schedule_follows_summer_time():
    schedule = Schedule(name="t", expression="0 9 * * *", timezone="Europe/Berlin")
    winter = schedule.following(datetime(2026, 1, 10, tzinfo=UTC))
    summer = schedule.following(datetime(2026, 7, 10, tzinfo=UTC))
    assert winter.astimezone(ZoneInfo("UTC")).hour == 8
    assert summer.astimezone(ZoneInfo("UTC")).hour == 7


@pytest.mark.parametrize(
    ("expression", "zone"),
    [
        pytest.param("", "UTC", id="empty"),
        pytest.param("every day", "UTC", id="words"),
        pytest.param("61 * * * *", "UTC", id="minute 61"),
        pytest.param("0 0 30 2 *", "UTC", id="a day that never comes"),
        pytest.param("* * * * *", "Europe/Nowhere", id="no such time zone"),
        pytest.param("* * * * *", "../../etc/passwd", id="a path as time zone"),
    ],
)
def test_a_schedule_that_cannot_be_kept_is_refused(expression, zone):
    with pytest.raises(TaskError):
        Schedule(name="t", expression=expression, timezone=zone)
