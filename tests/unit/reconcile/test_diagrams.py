"""The page about rollouts must show the tables as they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from millions.model import Phase
from millions.reconcile import diagram, readiness, rollout
from millions.reconcile.rollout import Former, Stand

PAGE = Path(__file__).parents[3] / "docs" / "concepts" / "rollout.md"


@pytest.mark.parametrize(
    "text", [diagram.rollout_table(), diagram.readiness_diagram()], ids=["rollout", "readiness"]
)
def test_the_page_holds_what_the_tables_say(text: str) -> None:
    assert text in PAGE.read_text(encoding="utf-8"), f"write this into {PAGE.name}:\n{text}"


def test_the_rollout_table_has_an_answer_for_everything() -> None:
    assert set(rollout.TABLE) == {(stand, former) for stand in Stand for former in Former}


def test_no_answer_makes_a_process_that_stops_ready_again() -> None:
    assert not {Phase.STOPPING, Phase.EXITED} & {phase for phase, _ in readiness.TABLE}
