"""A climb from one server to all tiers and back: failures, pauses, time, CPU a request.

Runs the tour of `make climb` with the application of drills, 300 requests a
second, and stays on each rung so that 100,000 are asked in all; reads the report that it leaves.

    python bench/climb.py [--stay 15] [--rate 300] [--drive pure] [--path /each ...]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = Path(__file__).parent / "results"
WITHIN_S = 3600
PAUSE_AIM_S, PAUSE_MOST_S, UP_AIM_S = 0.3, 1.0, 180.0
REQUESTS = 100_000


def climbed(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Go up and down once; the report as JSON."""
    subprocess.run(
        [
            *(sys.executable, "-m", "millions.cli.climbing.tour", str(ROOT / "examples/photos")),
            *("--stay", str(arguments.stay), "--rate", str(arguments.rate)),
            *("--drive", arguments.drive, "--out", str(folder)),
            *(word for each in arguments.path for word in ("--path", each)),
        ],
        timeout=WITHIN_S,
        check=False,  # a climb on which something failed has a report as well
    )
    found: dict[str, Any] = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    return found


def show(found: dict[str, Any]) -> None:
    """Print what was found, each figure beside its aim."""
    steps, stays = found["steps"], found["rungs"]
    print(f"requests {found['requests']:,} (aim >= {REQUESTS:,}), failed {found['failed']} (aim 0)")
    up = [each for each in steps if each["rung_to"] > each["rung_from"]]
    took = sum(each["ended"] - each["began"] for each in up)
    print(f"steps up took {took:.0f} s (aim <= {UP_AIM_S:.0f} s)")
    for each in steps:
        over = "" if each["pause"] <= PAUSE_AIM_S else "  above the aim"
        over = over if each["pause"] <= PAUSE_MOST_S else "  above the limit"
        print(
            f"  {each['rung_from']} -> {each['rung_to']}  {each['name']:28}"
            f" {each['ended'] - each['began']:6.1f} s"
            f"  no answer for {each['pause'] * 1e3:5.0f} ms, slowest {each['worst']:.2f} s{over}"
        )
    first = next((each["cpu_a_request_s"] for each in stays if each["cpu_a_request_s"]), 0.0)
    for each in stays:
        ratio = f"{each['cpu_a_request_s'] / first:.2f} x" if first else "-"
        print(
            f"  rung {each['rung']}: {each['cpu_a_request_s'] * 1e3:.2f} ms of CPU a request"
            f" ({ratio}), p50 {each['p50'] * 1e3:.1f} ms, p99 {each['p99'] * 1e3:.0f} ms,"
            f" {sum(each['memory_mib'].values()):.0f} MiB"
        )


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--stay", type=float, default=15.0)
    arguments.add_argument("--rate", type=float, default=300.0)
    arguments.add_argument("--drive", default="pure")
    arguments.add_argument("--path", action="append", default=[])
    with tempfile.TemporaryDirectory(prefix="millions-bench-") as folder:
        found = climbed(arguments.parse_args(), Path(folder) / "climb")
    show(found)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "climb.json").write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
