"""How should workers hear of tasks? Latency of tasks, and CPU by who spends it.

Tasks are enqueued at a steady rate into PostgreSQL, as always; what differs is how workers hear of
them: everybody by NOTIFY, one by NOTIFY on a channel of its own, one by a queue group of a NATS
server, or nobody (they poll). Sides alternate.

    python bench/wakes.py [--rounds 3] [--seconds 4] [--rate 200] [--workers 1 8]

Latency is from before `enqueue` to the first line of the task; CPU is in µs a task.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import uvloop

from millions import directory
from millions.directory import Endpoint, QueuePlace
from millions.runtime.ports import free_port
from millions.sdk import schema
from millions.sdk.database import Database
from millions.sdk.log import lines
from millions.sdk.tasks import SCHEMA, Tasks
from millions.sdk.tasks.wake import Hints
from millions.testing import EmbeddedPostgres, directory_for, eventually
from millions.testing.postgres import HOST

RESULTS = Path(__file__).parent / "results"
SIDES = ("everybody", "one", "queue", "poll")
TICKS_S = os.sysconf("SC_CLK_TCK")


class Everybody(Hints):
    """Every hint to every worker, as LISTEN and NOTIFY are usually used."""

    def _tell(self, queue: str, count: int, hops: int) -> None:
        del hops
        super()._tell(queue, count, 0)


class Nobody(Hints):
    """No hints at all: what polling alone would cost."""

    def _send_soon(self) -> None:
        return


async def opened(side: str, place: str) -> tuple[Database, Tasks]:
    """The nouns of one process, with the wake of `side`."""
    db = Database()
    found = directory.read(place)
    if side == "queue":
        server = Endpoint(host=HOST, port=int(os.environ["BENCH_NATS"]))
        key = QueuePlace(servers=(server,), user="b", password_file=found.secret_file)
        found = dataclasses.replace(found, queue=key)
    await db.open(found)
    kind = {"everybody": Everybody, "poll": Nobody}.get(side, Hints)
    wake = kind(db.pool)
    tasks = Tasks(db, wake)
    await tasks.open(found)
    link = wake._link  # noqa: SLF001
    await eventually(lambda: link is None or link.connected)
    return db, tasks


async def work(side: str, place: str) -> None:
    """One worker process: prints what it measured when it is told to stop."""
    db, tasks = await opened(side, place)
    late_ms: list[float] = []

    @tasks.task(name="noop")
    async def noop(began: float) -> None:
        late_ms.append((time.time() - began) * 1e3)

    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(15, stopped.set)
    async with tasks.worker(concurrency=16):
        print("ready", flush=True)
        cpu_s = time.process_time()
        await stopped.wait()
        cpu_s = time.process_time() - cpu_s
    await tasks.close()
    await db.close()
    lines.flush()
    print(json.dumps({"late_ms": late_ms, "cpu_s": cpu_s}), flush=True)


async def enqueue(side: str, place: str, *, rate: float, seconds: float) -> float:
    """Enqueue at a steady rate; answer the CPU that it took."""
    db, tasks = await opened(side, place)

    @tasks.task(name="noop")
    async def noop(_began: float) -> None: ...

    began_s, cpu_s = time.monotonic(), time.process_time()
    for number in range(int(rate * seconds)):
        await asyncio.sleep(max(0.0, began_s + number / rate - time.monotonic()))
        await noop.enqueue(time.time())
    cpu_s = time.process_time() - cpu_s
    await asyncio.sleep(2.5)  # the last of them may wait for a poll
    await tasks.close()
    await db.close()
    return cpu_s


def cpu_of(pid: int) -> float:
    """The CPU seconds of a process and of its children, those that are gone too."""
    total = 0.0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        own, parent = int(path.parent.name), int(fields[1])
        if pid in (own, parent):
            total += int(fields[11]) + int(fields[12])
            total += (int(fields[13]) + int(fields[14])) if own == pid else 0
    return total / TICKS_S


def measured(side: str, place: str, servers: dict[str, int], chosen: Any, workers: int) -> Any:
    """One run of one side."""
    program = [sys.executable, __file__, "--role", side, "--place", place]
    running = [subprocess.Popen(program, stdout=subprocess.PIPE, text=True) for _ in range(workers)]
    try:
        for each in running:
            assert each.stdout is not None
            said = ""
            while said != "ready\n":
                said = each.stdout.readline()
                assert said, "a worker ended"
        before = {name: cpu_of(pid) for name, pid in servers.items()}
        cpu_s = uvloop.run(enqueue(side, place, rate=chosen.rate, seconds=chosen.seconds))
        spent = {name: cpu_of(pid) - before[name] for name, pid in servers.items()}
    finally:
        for each in running:
            each.terminate()
    last = [each.communicate(timeout=30)[0].splitlines()[-1] for each in running]
    found = [json.loads(each) for each in last]
    late = sorted(ms for each in found for ms in each["late_ms"])
    tasks = int(chosen.rate * chosen.seconds)
    assert len(late) == tasks, f"{len(late)} of {tasks} ran"
    return {
        "p50_ms": statistics.median(late),
        "p99_ms": late[int(len(late) * 0.99)],
        "database_us": spent["database"] / tasks * 1e6,
        "broker_us": spent["broker"] / tasks * 1e6,
        "worker_us": sum(each["cpu_s"] for each in found) / tasks * 1e6,
        "enqueue_us": cpu_s / tasks * 1e6,
    }


async def prepare(place: str) -> None:
    """Make the tables."""
    db = Database()
    await db.open(directory.read(place))
    async with db.pool().acquire() as connection:
        await schema.ensure(connection, SCHEMA)  # type: ignore[arg-type]
    await db.close()


def run(chosen: argparse.Namespace) -> None:
    """Measure every side with each number of workers, in turn, and print the medians."""
    document: dict[str, Any] = {"python": platform.python_version(), "rate": chosen.rate}
    with tempfile.TemporaryDirectory(prefix="millions-bench-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o711)
        server = EmbeddedPostgres(folder / "pg", settings={"fsync": "on"}).start()
        port = free_port()
        broker = subprocess.Popen(
            [Path(sys.executable).parent / "nats-server", "-a", HOST, "-p", str(port)],
            stderr=subprocess.DEVNULL,
        )
        os.environ["BENCH_NATS"] = str(port)
        try:
            place = folder / "directory.json"
            place.write_text(directory_for(server.create_database("b"), folder / "s").text())
            asyncio.run(prepare(str(place)))
            assert server.process is not None
            servers = {"database": server.process.pid, "broker": broker.pid}
            for workers in chosen.workers:
                rounds: dict[str, list[Any]] = {side: [] for side in SIDES}
                for _ in range(chosen.rounds):
                    for side in SIDES:
                        rounds[side].append(measured(side, str(place), servers, chosen, workers))
                print(f"\n{workers} workers, {chosen.rate:g} tasks/s")
                for side in SIDES:
                    medians = {
                        key: statistics.median(each[key] for each in rounds[side])
                        for key in rounds[side][0]
                    }
                    document[f"{side} {workers}"] = medians
                    print(f"{side:8}", *(f"{key} {value:8.1f}" for key, value in medians.items()))
        finally:
            broker.terminate()
            broker.wait(10)
            server.remove()
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "wakes.json").write_text(json.dumps(document, indent=1) + "\n")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rate", type=float, default=200.0)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--role", default="")
    parser.add_argument("--place", default="")
    chosen = parser.parse_args()
    if chosen.role:
        uvloop.run(work(chosen.role, chosen.place))
    else:
        run(chosen)


if __name__ == "__main__":
    main()
