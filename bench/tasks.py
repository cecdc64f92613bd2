"""How many tasks a second one and two worker processes do, acknowledged after they ran, how long a
task waits at a modest rate, at what CPU, and what a killed worker loses.

Ours against Procrastinate on PostgreSQL, and Celery (acks_late), Dramatiq, Taskiq and ARQ on Redis
(or Valkey) with `appendonly everysec`. Tasks do nothing. Rounds of all sides alternate.

    python bench/tasks.py [--rounds 5] [--only NAME ...] [--measure backlog steady killed]
                          [--workers 1 2]

Aim: at least 5,000 a second, 3 times Celery, ahead of every one that survives SIGKILL without
loss; p50 at most 5 ms. PostgreSQL (fsync on) loses no acknowledged task when the machine stops;
Redis at `everysec` loses up to a second's.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from tasks_runs import FailedError, backlog, killed, steady
from tasks_servers import Postgres, Redis
from tasks_sides import HERE, Side, sides

RESULTS = HERE / "results"
MEASURES = {"backlog": backlog, "steady": steady, "killed": killed}
SHOWN = {
    "backlog": ("per_s", "worker_cpu_us", "server_cpu_us"),
    "steady": ("p50_ms", "p99_ms", "worker_cpu_us", "server_cpu_us"),
    "killed": ("lost", "again", "last_s"),
}


def measure(side: Side, folder: Path, servers: dict[str, Any], chosen: Any, number: int) -> None:
    """One round of one side: everything that it takes part in."""
    for name in chosen.measure:
        if name not in side.measures or number >= side.rounds_max:
            continue
        for workers in chosen.workers if name != "killed" else [1]:
            try:
                found = MEASURES[name](side, folder, servers[side.server], workers)
            except FailedError as error:
                print(f"{name} {workers} {side.name}: nothing measured: {error}", flush=True)
                continue
            side.results.setdefault(f"{name} {workers}", []).append(found)
            said = ", ".join(f"{key} {found[key]:,.1f}" for key in SHOWN[name])
            print(f"{name} {workers} {side.name}: {said}", flush=True)


def medians(side: Side, what: str) -> dict[str, float]:
    """The median of the rounds, of each figure."""
    rounds = side.results[what]
    return {key: statistics.median(each[key] for each in rounds) for key in rounds[0]}


def report(measured: list[Side]) -> None:
    """Print a table for each measure; write the JSON, keeping what was not measured now."""
    path = RESULTS / "tasks.json"
    document: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    document |= {"question": " ".join(__doc__.split("\n\n")[0].split())}
    document |= {"python": platform.python_version()}
    document.setdefault("sides", {})
    for what in sorted({key for side in measured for key in side.results}):
        print(f"\n{what} worker(s)")
        for side in [each for each in measured if what in each.results]:
            found = medians(side, what)
            shown = "".join(f"{key:>15}{found[key]:9,.1f}" for key in SHOWN[what.split()[0]])
            print(f"{side.name:30}{len(side.results[what]):3} rounds{shown}")
            entry = document["sides"].setdefault(side.name, {})
            entry |= {"server": side.server, "power_cut_loses": side.power_cut_loses}
            entry[what] = {"median": found, "rounds": side.results[what]}
    RESULTS.mkdir(exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Read the command line, run all rounds, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="the slowest peers get up to 3")
    parser.add_argument("--only", nargs="*", help="sides whose name begins so")
    parser.add_argument("--measure", nargs="*", choices=MEASURES, default=list(MEASURES))
    parser.add_argument("--workers", nargs="*", type=int, default=[1, 2])
    chosen = parser.parse_args()
    wanted = [s for s in sides() if not chosen.only or s.name.startswith(tuple(chosen.only))]
    with tempfile.TemporaryDirectory(prefix="millions-bench-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o711)
        servers: dict[str, Any] = {"redis": Redis(folder / "redis")}
        try:
            servers["postgresql"] = Postgres(folder)
            for number in range(chosen.rounds):
                for side in wanted:
                    measure(side, folder, servers, chosen, number)
        finally:
            log = folder / "peers.log"
            print(log.read_text()[-1500:] if sys.exc_info()[0] and log.exists() else "", end="")
            for server in servers.values():
                server.stop()
            report(wanted)


if __name__ == "__main__":
    main()
