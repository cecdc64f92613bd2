"""Which copies of the database a server has all of."""

import dataclasses

import pytest

from millions.cli.moving import history
from millions.cli.moving.control_data import ControlData
from millions.cli.moving.history import History

TEXT = """1\t0/5000000\tno recovery target specified

2\t1/0\tno recovery target specified # a word
"""
HAD = History(system="7", timeline=3, flushed=(1 << 32) + 500, left=history.parse(TEXT))


def copy(timeline, checkpoint, **more):
    return ControlData(
        **{"state": "shut down", "system": "7", "timeline": timeline, "checkpoint": checkpoint}
        | more
    )


def test_a_history_file_says_where_each_timeline_was_left():
    assert history.parse(TEXT) == {1: 0x5000000, 2: 1 << 32}
    assert history.parse("") == {}


@pytest.mark.parametrize(
    ("found", "has"),
    [
        pytest.param(copy(3, "1/100"), True, id="same timeline, passed"),
        pytest.param(copy(3, "1/1F4"), False, id="same timeline, not passed"),
        pytest.param(copy(1, "0/4FFFF88"), True, id="left after its last record"),
        pytest.param(copy(1, "0/5000000"), False, id="left before its last record"),
        pytest.param(copy(2, "0/5000000"), True, id="in the middle of a former timeline"),
        pytest.param(copy(4, "0/1"), False, id="a timeline that the server never had"),
        pytest.param(copy(3, "1/100", system="8"), False, id="of another cluster"),
        pytest.param(copy(3, "1/100", state="in production"), False, id="killed as a primary"),
    ],
)
def test_a_server_has_a_copy_that_is_on_its_history_and_was_passed(found, has):
    assert HAD.has(found) is has


@pytest.mark.parametrize(
    ("replayed", "timeline", "has"),
    [("1/1F4", 3, True), ("1/1F5", 3, False), ("0/5000000", 1, True), ("0/5000001", 1, False)],
)
def test_a_standby_may_have_no_more_than_the_server_either(replayed, timeline, has):
    standby = copy(1, "0/1", replayed=replayed, replayed_timeline=timeline)
    for state in ("shut down in recovery", "in archive recovery"):
        assert HAD.has(dataclasses.replace(standby, state=state)) is has
