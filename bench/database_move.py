"""How long writers wait while the database moves to another server, and back, again and again.

One web process of the ledger application, clients that write without pause; the gap is the longest
time without an acknowledged write during one move, seen by the clients.

    python bench/database_move.py [--moves 10] [--clients 8]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESULTS = Path(__file__).parent / "results"
sys.path.insert(0, str(ROOT / "tests" / "scenarios" / "database_move"))

from ledger import Ledger, People  # noqa: E402  # the application of the scenario

AIM_S = 1.0


async def measured(ledger: Ledger, moves: int, clients: int) -> dict[str, object]:
    people = People(ledger, count=clients)
    people.start()
    seen, said = [], []
    try:
        await people.more(200)
        for number in range(moves):
            people.new_gap()
            target = number % 2 + 2
            if number > 1:
                await ledger.millions("move", "database", "--erase-former", "--yes")
            answered = await ledger.move(target)
            await people.more(100)
            seen.append(people.longest_gap_s)
            said.append(answered["gap_s"])
            print(f"move {number + 1:2} to server {target}: {seen[-1]:.3f} s", flush=True)
    finally:
        await people.stop()
    lost, twice = await people.accounts()
    return {
        "moves": moves,
        "written": len(people.acknowledged),
        "failed": len(people.failures),
        "lost": len(lost),
        "twice": len(twice),
        "gap_s": {
            "median": statistics.median(seen),
            "longest": max(seen),
            "without_primary_median": statistics.median(said),
        },
        "aim_s": AIM_S,
    }


async def run(moves: int, clients: int) -> dict[str, object]:
    root = Path(tempfile.mkdtemp(prefix="millions-bench-"))  # nothing runs yet
    root.chmod(0o755)  # noqa: ASYNC240
    ledger = Ledger(root)
    ledger.make()
    try:
        await ledger.millions("up", "--detach")
        return await measured(ledger, moves, clients)
    finally:
        await ledger.millions("down", status=None)
        shutil.rmtree(root)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--moves", type=int, default=10)
    arguments.add_argument("--clients", type=int, default=8)
    given = arguments.parse_args()
    found = asyncio.run(run(given.moves, given.clients))
    print(json.dumps(found, indent=1))
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "database_move.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
