"""How long does it take to plan 10,000 units? Run: `python bench/planner.py`.

Prints a table of wall and CPU time (median of the rounds) and writes `bench/results/planner.json`.
Each size is planned when nothing runs (every unit has an action) and when all is well (none has).
"""

from __future__ import annotations

import json
import statistics
import time
from pathlib import Path

from millions.model import Address, Goal, Observed, Phase, Probe, Process, Seen, Unit
from millions.reconcile.plan import plan

SIZES = (100, 1_000, 10_000)
ROUNDS = 7
AIM_S = 0.2
PROBE = Probe(address=Address(host="127.1.1.1", port=1))


def unit(at: int) -> Unit:
    """Units in groups of ten, each needing the one before it in its group."""
    needs = (f"unit{at - 1}",) if at % 10 else ()
    return Unit(name=f"unit{at}", tier="any", command=("run",), probe=PROBE, needs=needs)


def well(spec: Unit) -> Seen:
    process = Process(number=1, spec=spec, phase=Phase.READY, since_s=0.0, changed_s=0.0)
    return Seen(name=spec.name, processes=(process,), good=spec)


def measured(goal: Goal, observed: Observed) -> dict[str, float]:
    walls, cpus, actions = [], [], 0
    for _ in range(ROUNDS):
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        actions = len(plan(goal, observed))
        walls.append(time.perf_counter() - wall_s)
        cpus.append(time.process_time() - cpu_s)
    return {
        "wall_ms": statistics.median(walls) * 1e3,
        "cpu_ms": statistics.median(cpus) * 1e3,
        "actions": actions,
    }


def main() -> None:
    rows = []
    print(f"{'units':>8} {'state':<14} {'actions':>8} {'wall ms':>9} {'CPU ms':>9}")
    for size in SIZES:
        units = tuple(unit(at) for at in range(size))
        states = {
            "nothing runs": Observed(now_s=1.0),
            "all is well": Observed(now_s=1.0, units=tuple(well(each) for each in units)),
        }
        for state, observed in states.items():
            row = {"units": size, "state": state, **measured(Goal(units=units), observed)}
            rows.append(row)
            print(
                f"{size:>8} {state:<14} {row['actions']:>8}"
                f" {row['wall_ms']:>9.1f} {row['cpu_ms']:>9.1f}"
            )
    target = Path(__file__).parent / "results" / "planner.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(rows, indent=1) + "\n")
    slowest_ms = max(row["cpu_ms"] for row in rows)
    print(f"aim: {AIM_S * 1e3:.0f} ms; slowest {slowest_ms:.0f} ms of CPU")


if __name__ == "__main__":
    main()
