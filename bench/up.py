"""How long `up` takes to the first answer, first time and again; what an idle supervisor costs.

Runs the photo-sharing application in a state folder of its own; wall time by the clock, CPU by the
process's own account over IDLE_S seconds, memory as PSS.

    python bench/up.py [--rounds 5]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent
STACK = ROOT / "examples" / "photos" / "millions.toml"
RESULTS = Path(__file__).parent / "results"
URL = "http://127.0.0.1:8000/"
IDLE_S = 30.0
AIMS = {"first": "<= 6 s", "again": "<= 2 s"}


def millions(home: Path, *arguments: str) -> str:
    done = subprocess.run(
        [str(Path(sys.executable).parent / "millions"), "-C", str(STACK), *arguments],
        env={**os.environ, "MILLIONS_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return done.stdout


def up_s(home: Path) -> float:
    """Seconds from the command to the first answer."""
    began_s = time.perf_counter()
    millions(home, "up", "--detach")
    with urllib.request.urlopen(URL, timeout=10) as answer:
        assert answer.status == 200
    return time.perf_counter() - began_s


def idle(home: Path) -> tuple[float, float]:
    """CPU of the supervisor in per cent of a core, and its PSS in MiB."""
    told = json.loads(millions(home, "status", "--json"))
    supervisor = psutil.Process(told["supervisor_pid"])
    time.sleep(8.0)  # the first seconds after a start are not idle
    before = supervisor.cpu_times()
    time.sleep(IDLE_S)
    after = supervisor.cpu_times()
    spent_s = after.user + after.system - before.user - before.system
    return 100 * spent_s / IDLE_S, supervisor.memory_full_info().pss / 2**20


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=5)
    rounds = arguments.parse_args().rounds
    folder = Path(tempfile.mkdtemp(prefix="millions-bench-"))
    folder.chmod(0o755)
    found: dict[str, list[float]] = {"first": [], "again": []}
    try:
        for number in range(rounds):
            home = folder / str(number)
            for kind in ("first", "again"):
                found[kind].append(up_s(home))
                if kind == "again" and number == rounds - 1:
                    cpu_percent, pss_mib = idle(home)
                millions(home, "down")
    finally:
        for home in folder.iterdir():
            millions(home, "down")
        shutil.rmtree(folder, ignore_errors=True)
    for kind, seconds in found.items():
        middle = statistics.median(seconds)
        span = f"({min(seconds):.2f} to {max(seconds):.2f})"
        print(f"up, {kind:6} {middle:5.2f} s {span}  aim {AIMS[kind]}")
    print(
        f"supervisor, idle: {cpu_percent:.2f} % of a core, {pss_mib:.0f} MiB PSS"
        "  aim < 1 %, < 60 MB"
    )
    RESULTS.mkdir(exist_ok=True)
    document = {"up_s": found, "supervisor_cpu_percent": cpu_percent, "supervisor_pss_mib": pss_mib}
    (RESULTS / "up.json").write_text(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
