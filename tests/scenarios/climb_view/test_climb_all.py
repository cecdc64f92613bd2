"""One server must become all tiers and one again under load, and no request fails."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from millions.drill.climbs import folder as folders

pytestmark = pytest.mark.timeout(600)

PHOTOS = Path(__file__).parents[3] / "examples" / "photos"
COMMAND = (
    *(sys.executable, "-m", "millions.cli.climbing.tour", str(PHOTOS)),
    *("--way", "9,1", "--stay", "2", "--rate", "8", "--clients", "6"),
)
DONE_WITHIN_S = 500.0
BACK = ("store-back", "files-back")


def test_no_request_fails_on_the_way_to_all_tiers_and_back(tmp_path: Path) -> None:
    tour = subprocess.run(
        [*COMMAND, "--out", str(tmp_path)],
        env={name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
        capture_output=True,
        text=True,
        timeout=DONE_WITHIN_S,
        check=False,
    )
    assert tour.returncode == 0, tour.stdout + tour.stderr
    assert "as promised" in tour.stdout
    told = orjson.loads((tmp_path / folders.REPORT).read_bytes())
    assert (told["well"], told["failed"]) == (True, 0)
    promises = told["verdict"]["promises"]
    assert (promises["G1"]["held"], promises["G2"]["held"]) == (True, True)
    steps = [each["name"] for each in told["steps"]]
    assert len(steps) > 20
    assert set(BACK) <= set(steps)
    assert told["levels"][-1]["rung"] == 1
