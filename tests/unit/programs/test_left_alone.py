"""Whose data is all of it, when a server leaves a cluster."""

from __future__ import annotations

import pytest

from millions.programs.alone import OPEN_END, Reach, newer, reach

CONTROL = """\
Database cluster state:               {state}
Latest checkpoint location:           0/3000028
Latest checkpoint's TimeLineID:       2
Minimum recovery ending location:     1/4000060
Min recovery ending loc's timeline:   3
"""


def at(timeline: int, place: int = OPEN_END) -> Reach:
    return Reach(timeline=timeline, place=place)


@pytest.mark.parametrize(
    ("state", "found"),
    [
        pytest.param("in production", at(2), id="a primary that crashed"),
        pytest.param("in crash recovery", at(2), id="one that crashed again"),
        pytest.param("shut down", at(2, 0x3000028), id="a primary that stopped"),
        pytest.param("in archive recovery", at(3, 0x1_0400_0060), id="a standby"),
        pytest.param("shut down in recovery", at(3, 0x1_0400_0060), id="a standby that stopped"),
    ],
)
def test_how_far_a_server_goes_stands_in_its_control_file(state: str, found: Reach) -> None:
    assert reach(CONTROL.format(state=state)) == found


@pytest.mark.parametrize(
    ("own", "others", "name"),
    [
        pytest.param(at(2), {}, "", id="there is no other"),
        pytest.param(at(2), {"1": at(2, 7), "3": at(2, 9)}, "", id="the crashed primary"),
        pytest.param(at(2, 9), {"1": at(2, 9), "3": at(2, 7)}, "", id="a standby that has all"),
        pytest.param(at(3, 7), {"1": at(2)}, "", id="it took over from the other"),
        pytest.param(at(2, 8), {"1": at(2, 7), "3": at(2, 9)}, "3", id="another has more"),
        pytest.param(at(2, 8), {"1": at(2)}, "1", id="the other was the primary"),
        pytest.param(at(2), {"1": at(3, 5)}, "1", id="another took over"),
        pytest.param(at(2), {"1": at(2)}, "1", id="both were primaries: nobody can say"),
    ],
)
def test_another_member_may_have_what_this_one_has_not(
    own: Reach, others: dict[str, Reach], name: str
) -> None:
    assert newer(own, others) == name
