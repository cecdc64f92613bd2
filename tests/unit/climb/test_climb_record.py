"""Events of a climb are read back as they were written."""

import pytest

from millions.climb.record import Event, events, parse
from millions.errors import StateError

EVENT = Event(
    at_s=12.5,
    kind="step",
    name="balancer",
    state="began",
    rung_from=2,
    rung_to=3,
    why='rung 3 says "two or more"\nweb servers',
    said="größer",
)


def test_an_event_is_one_line_and_is_read_back():
    assert "\n" not in EVENT.text()
    assert parse(EVENT.text()) == EVENT


def test_a_line_that_is_half_written_is_left_out():
    text = EVENT.text() + "\n" + EVENT.text()[:20]
    assert events(text) == (EVENT,)
    assert events("") == ()


@pytest.mark.parametrize(
    "line",
    ["", "{}", "[]", EVENT.text().replace('"step"', '"leap"'), EVENT.text().replace("began", "x")],
    ids=["empty", "nothing", "list", "kind", "state"],
)
def test_what_is_no_event_is_refused(line: str):
    with pytest.raises(StateError, match="not an event of a climb"):
        parse(line)
