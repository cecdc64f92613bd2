"""How many operations a minute does the checker judge? Run: `python bench/checker.py`.

Writes a history as a drill makes it (registers with versions, sets, transfers, a few failures and
unknown outcomes), checks it, prints a table and writes `bench/results/checker.json`.
"""

from __future__ import annotations

import json
import random
import resource
import tempfile
import time
from pathlib import Path

from millions.drill import history
from millions.drill.checker import check
from millions.drill.history import Header, Writer

SIZES = (100_000, 1_000_000)
AIM_PER_MINUTE = 1_000_000
USERS, KEYS, SETS = 64, 256, 16
SHARE_OF_READS, SHARE_OF_ADDS, SHARE_OF_UNKNOWN = 0.55, 0.15, 0.001
A_READING_EVERY = 20_000


class Store:
    """A correct store of one copy: what it answers is what a drill would record."""

    def __init__(self, writer: Writer) -> None:
        self.rng = random.Random(1)
        self.held: dict[str, tuple[int | None, int]] = {}
        self.sets: dict[str, list[int]] = {}
        self.writer = writer

    def operation(self, number: int) -> None:
        """One operation; each begins a millisecond after the one before."""
        at = number * 0.001
        answered = {
            "at": at,
            "done": at + self.rng.random() * 0.02,
            "user": f"u{self.rng.randrange(USERS)}",
            "outcome": "ok",
            "status": 200,
            "repeatable": True,
            "server": f"web.{1 + number % 2}",
        }
        draw = self.rng.random()
        if number % A_READING_EVERY == 0:
            name = f"s{self.rng.randrange(SETS)}"
            members = self.sets.get(name, [])
            self.writer.operation(kind="members", key=name, value=members, **answered)
        elif draw < SHARE_OF_READS:
            key = f"r{self.rng.randrange(KEYS)}"
            value, version = self.held.get(key, (None, 0))
            self.writer.operation(kind="read", key=key, value=value, version=version, **answered)
        else:
            answered |= {"value": number, "idempotency": f"i{number}"}
            if draw < SHARE_OF_READS + SHARE_OF_ADDS:
                self.add(number, answered)
            else:
                self.write(number, answered)

    def add(self, number: int, answered: dict[str, object]) -> None:
        name = f"s{self.rng.randrange(SETS)}"
        self.sets.setdefault(name, []).append(number)
        self.writer.operation(kind="add", key=name, **answered)

    def write(self, number: int, answered: dict[str, object]) -> None:
        key = f"r{self.rng.randrange(KEYS)}"
        version = self.held.get(key, (None, 0))[1] + 1
        self.held[key] = (number, version)
        if self.rng.random() < SHARE_OF_UNKNOWN:
            answered |= {"outcome": "unknown", "status": "timeout", "done": None}
        self.writer.operation(kind="write", key=key, version=version, **answered)


def write(path: Path, operations: int) -> None:
    with Writer(path, Header(promises=("G1", "G3", "G4"))) as writer:
        store = Store(writer)
        for number in range(operations):
            store.operation(number)


def main() -> None:
    rows = []
    print(f"{'operations':>12} {'MiB':>7} {'seconds':>9} {'a minute':>13} {'peak MiB':>9}")
    with tempfile.TemporaryDirectory() as folder:
        for size in SIZES:
            path = Path(folder) / f"{size}.jsonl"
            write(path, size)
            began_s = time.process_time()
            verdict = check(history.read(path))
            taken_s = time.process_time() - began_s
            row = {
                "operations": verdict.operations,
                "mib": path.stat().st_size / 2**20,
                "cpu_s": taken_s,
                "per_minute": verdict.operations / taken_s * 60,
                "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            }
            rows.append(row)
            print(
                f"{row['operations']:>12,} {row['mib']:>7.0f} {row['cpu_s']:>9.2f}"
                f" {row['per_minute']:>13,.0f} {row['peak_mib']:>9.0f}"
            )
    target = Path(__file__).parent / "results" / "checker.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(rows, indent=1) + "\n")
    print(f"aim: {AIM_PER_MINUTE:,} a minute")


if __name__ == "__main__":
    main()
