"""How many tasks one worker process does per second, acknowledged after they ran, and at what CPU.

Ours against Procrastinate on the same PostgreSQL, and Celery (acks_late), Dramatiq and Taskiq
on Redis (or Valkey) with `appendonly everysec`. No-op tasks; the backlog is written before the
worker starts, and each worker measures itself from the first tenth of it to its end. Rounds of all
sides alternate.

    python bench/tasks.py [--rounds 5] [--only NAME ...]

Aim: ahead of every durable one; at least 5,000 a second. Durable here: PostgreSQL loses no
acknowledged task when the machine stops (fsync on); Redis at `everysec` loses up to a second's.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from millions.testing import EmbeddedPostgres, directory_for, postgres, valkey

HERE = Path(__file__).parent
PEERS = HERE / "tasks_peers"
RESULTS = HERE / "results"
RUN_WITHIN_S = 60.0
STOP_WITHIN_S = 10.0


@dataclass(slots=True)
class Side:
    """One system: how it enqueues and works, on which server, and what was measured."""

    name: str
    server: str
    durable: str
    tasks: int
    rounds: int
    enqueue: list[str]
    work: list[str]
    results: list[dict[str, float]] = field(default_factory=list)

    def median(self, what: str) -> float:
        """The median of the rounds."""
        return statistics.median(each[what] for each in self.results)


def sides(peers: Path, rounds: int) -> list[Side]:
    """Every system, the fastest settings that its documentation offers for one process."""
    python, few = str(peers / "python"), min(rounds, 3)
    none, second = "nothing is lost", "up to 1 s is lost"

    def ours(name: str, kind: str, tasks: int, concurrency: int) -> Side:
        program = [sys.executable, "millions_peer.py", kind]
        return Side(
            *(name, "postgresql", none, tasks, rounds),
            enqueue=[*program, str(tasks), "0"],
            work=[*program, "0", str(concurrency)],
        )

    def peer(name: str, server: str, tasks: int, *work: str) -> Side:
        program = name.partition(" ")[0].lower()
        durable = none if server == "postgresql" else second
        return Side(
            *(name, server, durable, tasks, few),
            enqueue=[python, f"{program}_peer.py", str(tasks)],
            work=[python, "-m", program, *work],
        )

    celery = ["-A", "celery_peer", "worker", "-l", "ERROR", "--without-gossip", "--without-mingle"]
    return [
        ours("Millions", "async", 100_000, 16),
        ours("Millions, in threads", "threads", 40_000, 16),
        ours("Millions, completing in a transaction", "completing", 5_000, 16),
        peer("Dramatiq (1 thread)", "redis", 9_000, "dramatiq_peer", *_dramatiq(1)),
        peer("Dramatiq (8 threads)", "redis", 9_000, "dramatiq_peer", *_dramatiq(8)),
        peer("Celery acks_late, solo", "redis", 1_500, *celery, "-P", "solo"),
        peer("Celery acks_late, 8 threads", "redis", 1_500, *celery, *_threads(8)),
        peer("Taskiq stream", "redis", 3_000, "worker", "taskiq_peer:broker", "--workers", "1"),
        peer(
            *("Procrastinate", "postgresql", 2_000, "--app=procrastinate_peer.app"),
            *("worker", "--concurrency=16", "--delete-jobs=always"),
        ),
    ]


def _dramatiq(threads: int) -> list[str]:
    return ["--processes", "1", "--threads", str(threads)]


def _threads(threads: int) -> list[str]:
    return ["-P", "threads", "-c", str(threads)]


class Redis:
    """A Redis of the bench's own, stopped by pid."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        program = shutil.which("redis-server") or str(valkey.program())
        self.process = subprocess.Popen(
            [
                *(program, "--bind", "127.0.0.1", "--port", str(self.port)),
                *("--dir", str(folder), "--save", "", "--appendonly", "yes"),
                *("--appendfsync", "everysec"),
            ],
            stdout=subprocess.DEVNULL,
        )
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._say("PING")

    def empty(self) -> None:
        """Forget everything."""
        self._say("FLUSHALL")

    def stop(self) -> None:
        """Stop by pid."""
        self.process.terminate()
        self.process.wait(STOP_WITHIN_S)

    def _say(self, word: str) -> None:
        deadline = time.monotonic() + STOP_WITHIN_S
        while True:
            try:
                with socket.create_connection(("127.0.0.1", self.port), 5) as connection:
                    connection.sendall(f"{word}\r\n".encode())
                    connection.recv(64)
                    return
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)


class Postgres:
    """A PostgreSQL of the bench's own, with fsync; a database for each side."""

    def __init__(self, folder: Path) -> None:
        postgres.SETTINGS.update(
            fsync="on", full_page_writes="on", shared_buffers="128MB", max_wal_size="2GB"
        )
        self.folder = folder
        self.server = EmbeddedPostgres(folder / "postgres").start()
        assert self.server.process is not None
        self.process = self.server.process
        self.url_ours = folder / "directory.json"
        ours = directory_for(self.server.create_database("ours"), folder / "stack")
        self.url_ours.write_text(ours.text())
        self.server.create_database("peer")

    def url(self, side: Side) -> str:
        """What the side connects with."""
        if side.name.startswith("Millions"):
            return str(self.url_ours)
        server = self.server
        return f"postgresql://app:{server.password}@127.0.0.1:{server.port}/peer"


def run(side: Side, folder: Path, server: Any, url: str) -> dict[str, float]:
    """Enqueue, start one worker, wait for its result, stop it."""
    result = folder / "result.json"
    result.unlink(missing_ok=True)
    environment = {
        **os.environ,
        "BENCH_TASKS": str(side.tasks),
        "BENCH_RESULT": str(result),
        "BENCH_SERVER": str(server.process.pid),
        "BENCH_URL": url,
        "C_FORCE_ROOT": "1",
        "PYTHONPATH": str(PEERS),
        "PYTHONWARNINGS": "ignore",
        "dramatiq_queue_prefetch": "256",  # its default of two a thread does 200 a second
    }
    with (folder / "peers.log").open("ab") as log:
        began = time.perf_counter()
        subprocess.run(
            side.enqueue, cwd=PEERS, env=environment, check=True, timeout=RUN_WITHIN_S, stdout=log
        )
        enqueued_s = time.perf_counter() - began
        worker = subprocess.Popen(
            side.work, cwd=PEERS, env=environment, stdout=log, stderr=log, start_new_session=True
        )
        try:
            measured = _wait(result, worker)
        finally:
            _stop(worker)
    return {**measured, "enqueued_per_s": side.tasks / enqueued_s}


def _wait(result: Path, worker: subprocess.Popen[bytes]) -> dict[str, float]:
    deadline = time.monotonic() + RUN_WITHIN_S
    while not result.exists():
        if worker.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"no result from {worker.args!r}; see peers.log")
        time.sleep(0.05)
    measured: dict[str, float] = json.loads(result.read_text())
    return measured


def _stop(worker: subprocess.Popen[bytes]) -> None:
    """Stop the worker and the processes that it started: it leads a session of its own."""
    worker.terminate()
    try:
        worker.wait(STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait(STOP_WITHIN_S)


def environment_of_peers() -> Path:
    """The programs of the peers' virtual environment; made when it is missing."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    folder = cache / "millions" / "bench-tasks"
    wanted = (HERE / "requirements.txt").read_text()
    marker = folder / "requirements.txt"
    if not marker.exists() or marker.read_text() != wanted:
        print(f"installing the peers into {folder} …", flush=True)
        venv.create(folder, clear=True, with_pip=True)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "-q", "-r"]
        subprocess.run([*pip, str(HERE / "requirements.txt")], check=True, timeout=600)
        marker.write_text(wanted)
    return folder / "bin"


def report(measured: list[Side]) -> None:
    """Print the table and write the JSON."""
    print(f"\n{'':39}{'tasks/s':>9}{'min':>8}{'max':>8}{'worker':>8}{'server':>8}  µs CPU a task")
    for side in measured:
        rates = [each["per_s"] for each in side.results]
        print(
            f"{side.name:39}{side.median('per_s'):9,.0f}{min(rates):8,.0f}{max(rates):8,.0f}"
            f"{side.median('worker_cpu_us'):8.0f}{side.median('server_cpu_us'):8.0f}"
            f"  {side.server}, {side.durable}"
        )
    document = {
        "question": __doc__.splitlines()[0],
        "python": platform.python_version(),
        "sides": {
            side.name: {
                "server": side.server,
                "power_cut": side.durable,
                "tasks": side.tasks,
                "per_s": side.median("per_s"),
                "worker_cpu_us": side.median("worker_cpu_us"),
                "server_cpu_us": side.median("server_cpu_us"),
                "rounds": side.results,
            }
            for side in measured
        },
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "tasks.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="of ours; the peers get up to 3")
    parser.add_argument("--only", nargs="*", help="sides whose name begins so")
    chosen = parser.parse_args()
    every = sides(environment_of_peers(), chosen.rounds)
    wanted = [s for s in every if not chosen.only or s.name.startswith(tuple(chosen.only))]
    with tempfile.TemporaryDirectory(prefix="millions-bench-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o711)
        redis, postgresql = Redis(folder / "redis"), Postgres(folder)
        try:
            for number in range(chosen.rounds):
                for side in wanted:
                    if number >= side.rounds:
                        continue
                    if side.server == "redis":
                        redis.empty()
                        measured = run(side, folder, redis, redis.url)
                    else:
                        measured = run(side, folder, postgresql, postgresql.url(side))
                    side.results.append(measured)
                    print(f"{side.name}: {measured['per_s']:,.0f}/s", flush=True)
        finally:
            print((folder / "peers.log").read_text()[-1500:] if sys.exc_info()[0] else "", end="")
            redis.stop()
            postgresql.server.stop()
    report(wanted)


if __name__ == "__main__":
    main()
