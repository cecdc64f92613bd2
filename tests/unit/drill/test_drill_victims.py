"""Who may die next while a stack climbs."""

from __future__ import annotations

import pytest

from millions.drill.faults.climbing import able_to_die
from millions.runtime.status import UnitStatus

DIED = 7


def unit(name: str, phase: str = "ready", pid: int | None = 1) -> UnitStatus:
    return UnitStatus(name=name, tier=name.partition(".")[0], phase=phase, pid=pid)


OTHERS = (unit("web.2"), unit("database.1"))


@pytest.mark.parametrize(
    ("first", "able"),
    [
        pytest.param(unit("web.1"), ["database.1", "web.1", "web.2"], id="it is back"),
        pytest.param(unit("web.1", pid=DIED), ["database.1"], id="its death is not told yet"),
        pytest.param(unit("web.1", "starting"), ["database.1"], id="it starts"),
        pytest.param(unit("web.1", "waiting", None), ["database.1"], id="nothing of it runs"),
        pytest.param(unit("web.1", "kept", None), ["database.1", "web.2"], id="it is to go"),
    ],
)
def test_no_second_unit_of_a_tier_dies_before_the_first_is_back(
    first: UnitStatus, able: list[str]
) -> None:
    assert able_to_die((first, *OTHERS), ["web.1"], {DIED}) == able


def test_a_unit_that_comes_for_the_first_time_spares_nobody() -> None:
    units = (unit("web.1", "starting"), *OTHERS)
    assert able_to_die(units, ["database.1"], {DIED}) == ["database.1", "web.2"]
