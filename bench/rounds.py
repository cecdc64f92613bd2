"""Two or more sides measured in turn (A B A B …) in one run: CPU and wall time per operation.

What the machine does meanwhile then meets every side alike; the median of the rounds is reported.
"""

from __future__ import annotations

import gc
import json
import platform
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

RESULTS = Path(__file__).parent / "results"
WARM_UP = 100


@dataclass(slots=True)
class Side:
    """One side: its name, one operation, and what each round measured (µs per operation)."""

    name: str
    operation: Callable[[], Awaitable[object]]
    cpu_us: list[float] = field(default_factory=list)
    wall_us: list[float] = field(default_factory=list)


async def measure(sides: list[Side], *, rounds: int, operations: int) -> None:
    """Run `rounds` rounds of `operations` of each side in turn."""
    for side in sides:
        for _ in range(WARM_UP):
            await side.operation()
    for _ in range(rounds):
        for side in sides:
            gc.collect()
            cpu, wall = time.process_time(), time.perf_counter()
            for _ in range(operations):
                await side.operation()
            side.cpu_us.append((time.process_time() - cpu) / operations * 1e6)
            side.wall_us.append((time.perf_counter() - wall) / operations * 1e6)


def report(question: str, groups: dict[str, list[Side]], file: str) -> None:
    """Print a table and write the JSON.

    ΔCPU is the median of the differences to the group's first side in the same round.
    """
    print(f"\n{question}\n{'':44}{'CPU µs':>9}{'min':>8}{'max':>8}{'wall µs':>9}{'ΔCPU':>8}")
    document: dict[str, Any] = {"question": question, "python": platform.python_version()}
    for group, sides in groups.items():
        for side in sides:
            cpu = statistics.median(side.cpu_us)
            pairs = zip(side.cpu_us, sides[0].cpu_us, strict=True)
            difference = statistics.median(mine - first for mine, first in pairs)
            print(
                f"{group + ': ' + side.name:44}{cpu:9.1f}{min(side.cpu_us):8.1f}"
                f"{max(side.cpu_us):8.1f}{statistics.median(side.wall_us):9.1f}{difference:+8.1f}"
            )
            document[f"{group}: {side.name}"] = {
                "cpu_us_median": cpu,
                "cpu_us_difference": difference,
                "cpu_us": side.cpu_us,
                "wall_us": side.wall_us,
            }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / file).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
