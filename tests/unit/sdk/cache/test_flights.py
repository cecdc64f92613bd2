"""Who asks a server is told when what they ask for was forgotten meanwhile, and not when not."""

import pytest

from millions.sdk.cache.flights import FORGOTTEN_MAX, Flights


@pytest.mark.parametrize(
    ("names", "overtaken"),
    [(("a",), True), (("b", "t"), True), (("b", "u"), False)],
    ids=["its key", "a tag", "neither"],
)
def test_a_look_is_overtaken_by_what_names_its_entry(names, overtaken):
    flights = Flights()
    flights.let_go({"b", "u"})
    before = flights.forgotten
    assert not flights.overtook(names, before)
    flights.let_go({"a"})
    flights.let_go(("t", "v"))
    assert flights.overtook(names, before) is overtaken


def test_a_look_is_overtaken_when_everything_is_forgotten():
    flights = Flights()
    before = flights.forgotten
    flights.let_all_go()
    assert flights.overtook(("a",), before)


def test_a_look_that_more_was_forgotten_during_than_is_remembered_is_overtaken():
    flights = Flights()
    flights.let_go(("a",))
    before = flights.forgotten
    for _ in range(FORGOTTEN_MAX):
        flights.let_go(("b",))
    assert not flights.overtook(("a",), before)
    flights.let_go(("b",))
    assert flights.overtook(("a",), before)
