"""How figures, times and faces are shown."""

from datetime import UTC, datetime, timedelta

import pytest

from photos.avatars import avatar
from photos.wording import ago, short

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("number", "said"),
    [(0, "0"), (999, "999"), (1000, "1k"), (1999, "1.9k"), (12_345, "12k"), (2_500_000, "2.5M")],
)
def test_a_large_number_is_said_shortly_and_never_rounded_up(number, said):
    assert short(number) == said


@pytest.mark.parametrize(
    ("passed", "said"),
    [
        (timedelta(seconds=-5), "now"),
        (timedelta(seconds=59), "now"),
        (timedelta(minutes=59), "59 min"),
        (timedelta(hours=23), "23 h"),
        (timedelta(days=6), "6 d"),
        (timedelta(days=20), "2 w"),
        (timedelta(days=40), "29 Jan"),
        (timedelta(days=400), "3 Feb 2025"),
    ],
    ids=str,
)
def test_a_time_is_said_as_people_say_it(passed, said):
    assert ago(NOW - passed, NOW) == said


def test_an_avatar_is_the_same_on_every_page_and_needs_no_letters():
    assert avatar(handle="ada", name="Ada Byron") == avatar(handle="ada", name="Ada Byron")
    assert avatar(handle="ada", name="Ada de Byron").initials == "AB"
    assert avatar(handle="ada", name="…").initials == "A"
    assert avatar(handle="ada", name="李").initials == "李"
