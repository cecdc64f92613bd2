"""The report on edges tells of those that answer, whatever the others do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from millions.cli import edge as command
from millions.cli import edge_traffic
from millions.runtime.state import Identity, StateFolder
from millions.testing import eventually

if TYPE_CHECKING:
    from pathlib import Path

    import pytest
    from edge_rig import Origin, Varnish


async def test_an_edge_that_is_dead_is_away_and_the_others_are_reported(
    edge: Varnish, origin: Origin, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = StateFolder(
        path=tmp_path, identity=Identity(name="x", stack_file="x", network=16), account=None
    )
    state.unit("edge.1").mkdir(parents=True)
    (state.unit("edge.1") / "work").symlink_to(edge.folder / "work")
    path = origin.told("/reported/1", cache_control="public, max-age=60")
    for _ in range(3):
        await edge.get(path)

    def hits() -> int:
        return edge_traffic.edge("edge.1", command._counters(state, "edge.1")).hits

    await eventually(lambda: hits() >= 2, within_s=30)
    made = edge_traffic.report(*command.told(state, ["edge.2", "edge.1"]))
    assert [each.name for each in made.edges] == ["edge.2", "edge.1"]
    assert made.edges[0].trouble
    assert not made.edges[1].trouble
    assert made.edges[1].hits >= 2
    assert [each.requests for each in made.paths if each.path == "/reported/"] == [3]
    assert made.document()["edges"][0]["hits"] == 0
    command._print(made)
    assert f"edge.2 is away: {made.edges[0].trouble}" in capsys.readouterr().out
