"""What an idle supervisor costs by the number of units: CPU in per cent of a core, and PSS.

Each unit is a real process with a TCP address that is probed once a second, as on rung 1 (which has
two of them).
`bench/up.py` measures the same with the real tiers of rung 1.

    python bench/supervisor.py [--seconds 30]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from millions.model import Address, Probe, Unit
from millions.runtime import desired, down, state, status, supervisor
from millions.runtime.desired import Desired

if TYPE_CHECKING:
    from millions.runtime.state import StateFolder

SIZES = (2, 10, 50)
WARM_UP_S = 5.0
UP_WITHIN_S = 60.0
MIB = 1024 * 1024
LISTEN = (
    "import os, socket\n"
    "host, port = os.environ['MILLIONS_PRIVATE'].split(':')\n"
    "server = socket.create_server((host, int(port)), backlog=8)\n"
    "while True: server.accept()[0].close()\n"
)


def unit(folder: StateFolder, number: int) -> Unit:
    address = Address(host=f"127.{folder.identity.network}.9.{number}", port=9000)
    return Unit(
        name=f"unit.{number}",
        tier="any",
        command=(sys.executable, "-S", "-c", LISTEN),
        address=address,
        probe=Probe(address=address),
    )


def settle(folder: StateFolder) -> int:
    """The pid of the supervisor once everything is ready."""
    pid = supervisor.ensure(folder)
    deadline = time.monotonic() + UP_WITHIN_S
    while time.monotonic() < deadline:
        found = status.read(folder.status)
        if found is not None and found.settled:
            return pid
        time.sleep(0.05)
    raise SystemExit("the units did not become ready")


def measured(units: int, seconds: float) -> dict[str, float]:
    root = Path(tempfile.mkdtemp(prefix="millions-bench-"))
    root.chmod(0o755)
    os.environ["MILLIONS_HOME"] = str(root)
    folder = state.create("idle", root / "millions.toml")
    try:
        wanted = tuple(unit(folder, number) for number in range(1, units + 1))
        desired.write(folder.desired, Desired(generation=1, units=wanted))
        process = psutil.Process(settle(folder))
        time.sleep(WARM_UP_S)
        before = process.cpu_times()
        time.sleep(seconds)
        after = process.cpu_times()
        spent_s = after.user + after.system - before.user - before.system
        memory = process.memory_full_info()
    finally:
        down.stop_all(folder)
        shutil.rmtree(root)
    return {
        "units": units,
        "cpu_percent": 100 * spent_s / seconds,
        "pss_mib": memory.pss / MIB,
        "rss_mib": memory.rss / MIB,
    }


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seconds", type=float, default=30.0)
    seconds = arguments.parse_args().seconds
    rows = []
    print(f"{'units':>6} {'CPU %':>7} {'PSS MiB':>8} {'RSS MiB':>8}")
    for units in SIZES:
        row = measured(units, seconds)
        rows.append(row)
        print(
            f"{units:>6} {row['cpu_percent']:>7.2f} {row['pss_mib']:>8.1f} {row['rss_mib']:>8.1f}"
        )
    target = Path(__file__).parent / "results" / "supervisor.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(rows, indent=1) + "\n")
    print("aim on rung 1: < 1 % of a core, < 60 MB")


if __name__ == "__main__":
    main()
