"""Load beside a change of the stack must be judged, measured by tier and ended with the command."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
import pytest

from millions.cli.climbing.driven import driven
from millions.cli.climbing.seen import Load
from millions.cli.climbing.view import Lines
from millions.climb.record import FILE, Event, State
from millions.drill import stage as stages
from millions.drill.climbs import folder as folders
from millions.testing import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from millions.drill.stage import Stage

pytestmark = pytest.mark.timeout(300)  # it climbs, on a busy machine slowly

LOAD = Load(workload="pure", clients=6, rate_per_s=80.0)
GONE_WITHIN_S = 30.0
HOLDER = """
import sys
from pathlib import Path
from millions.cli.climbing.driven import driven
from millions.cli.climbing.seen import Load
from millions.cli.climbing.view import Nothing
from millions.drill.stage import Stage
stage = Stage(Path(sys.argv[1]), home=Path(sys.argv[2]))
load = Load(workload="pure", clients=2, rate_per_s=20.0)
place = Path(sys.argv[3])
with driven(stage.state, stage.address, load, rung=1, folder=place, view=Nothing()) as beside:
    print("driving", flush=True)
    beside.stay(600)
"""


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    root = stages.make_root()
    made = stages.make({}, rung=1, folder=None, root=root)
    try:
        asyncio.run(made.do("up", "--detach"))
        yield made
    finally:
        asyncio.run(made.millions("down"))
        stages.erase(root)


def clients_of(folder: Path) -> list[int]:
    """The processes that write a history into this folder."""
    listed = subprocess.run(
        ["pgrep", "-f", f"climbs.client.*{folder}"], capture_output=True, text=True, check=False
    )
    return [int(each) for each in listed.stdout.split()]


def tell(stage: Stage, state: State) -> None:
    event = Event(
        at_s=time.time(), kind="step", name="deploy", state=state, rung_from=1, rung_to=1, why="new"
    )
    with (stage.state.path / FILE).open("a", encoding="utf-8") as file:
        file.write(f"{event.text()}\n")


def test_a_change_under_load_is_judged_and_reported(
    stage: Stage, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with driven(stage.state, stage.address, LOAD, rung=1, folder=tmp_path, view=Lines()) as beside:
        tell(stage, "began")
        asyncio.run(stage.do("deploy"))
        tell(stage, "ended")
    ascent = beside.ascent
    assert ascent is not None
    assert ascent.well, ascent.verdict
    assert ascent.verdict.held == {"G1": True, "G2": True, "G4": True}
    assert ascent.whole.good > 100
    (step,) = ascent.steps
    assert step.figures.good > 0
    last = ascent.stays[-1]
    assert last.cpu_s["web"] > 0
    assert last.cpu_s["database"] > 0
    assert last.memory_mib["database"] > 10
    assert "deploy is done" in capsys.readouterr().err
    assert clients_of(tmp_path) == []
    told = orjson.loads((tmp_path / folders.REPORT).read_bytes())
    assert told["steps"][0]["name"] == "deploy"
    assert "Step by step" in beside.page.read_text(encoding="utf-8")
    again = asyncio.run(stage.millions("drill", "report", str(tmp_path)))
    assert again.status == 0, again.out
    assert "as promised" in again.out


def test_what_breaks_the_block_off_is_reported_as_far_as_it_came(
    stage: Stage, tmp_path: Path
) -> None:
    def broken_off() -> None:
        with driven(stage.state, stage.address, LOAD, rung=1, folder=tmp_path, view=Lines()):
            tell(stage, "began")
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        broken_off()
    found = folders.read(tmp_path)
    assert found.steps[-1].step.state == "began"
    assert not found.well
    assert clients_of(tmp_path) == []


def test_a_killed_command_leaves_no_client_behind(stage: Stage, tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(stage.file), str(stage.home), str(tmp_path)],
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"driving\n"
        assert len(clients_of(tmp_path)) == 1
        holder.send_signal(signal.SIGKILL)
    asyncio.run(eventually(lambda: clients_of(tmp_path) == [], within_s=GONE_WITHIN_S))


def test_a_climb_with_load_beside_it_is_judged_and_reported_by_the_verb(stage: Stage) -> None:
    ran = asyncio.run(
        stage.millions("climb", "2", "--yes", "--drive", "pages", "--path", "/", "--rate", "40")
    )
    assert ran.status == 0, ran.out
    assert "as promised" in ran.out
    page = Path(ran.out.rpartition("report: ")[2].strip())
    assert page.is_relative_to(stage.home or "")
    told = orjson.loads((page.parent / folders.REPORT).read_bytes())
    assert told["well"] is True
    assert told["levels"][-1]["rung"] == 2
    assert [each["state"] for each in told["steps"]] == ["ended"] * len(told["steps"]) != []
    assert told["failed"] == 0
    assert told["drive"]["workload"] == "pages"
    driving = ("--drive", "pages", "--path", "/", "--rate", "40")
    ran = asyncio.run(stage.millions("climb", "1", "--yes", "--json", *driving))
    said, _ = json.JSONDecoder().raw_decode(ran.out[ran.out.index("{\n") :])
    assert (said["done"], said["load"]["well"], said["load"]["failed"]) == (True, True, 0)
    assert said["load"]["promises"] == {"G2": True}
    assert said["load"]["requests"] > 20
    assert Path(said["load"]["report"]).is_file()
