"""A stack that climbs to all tiers and back must keep every promise, also while its units die."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from histories_of_drills import titles

if TYPE_CHECKING:
    from drilling import Drilled

pytestmark = [pytest.mark.usefixtures("drilled"), pytest.mark.timeout(420)]

NOUNS = ("change", "cached", "remember", "append", "count", "enqueue", "undone", "ran")


async def test_what_the_higher_tiers_keep_is_right_all_the_way_up_and_back(
    drilled: Drilled,
) -> None:
    verdict = await drilled.drill("climb at 1s for 1s by 9", may_fail="none", target="nouns")
    assert verdict.failures == ()
    assert titles(verdict) == {}
    assert [verdict.kinds[each] > 20 for each in NOUNS] == [True] * len(NOUNS)
    assert drilled.stage.rung == 1


async def test_units_may_die_while_a_stack_climbs(drilled: Drilled) -> None:
    verdict = await drilled.drill("climb-killed at 1s by 5", may_fail="in-flight")
    assert titles(verdict) == {}
    deaths = [each for each in verdict.events if each.event == "climb-killed"]
    assert len(deaths) > 5
    assert "rung 1 to 5 and back" in deaths[0].note
    assert drilled.stage.rung == 1
