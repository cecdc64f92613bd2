"""How long writes wait when the primary of a database with replicas dies, or steps down on purpose.

A client inserts one row after the other without pause, finds the primary itself (every member in
its connection string) and connects again at once. The gap is the longest time without an
acknowledged row; afterwards every acknowledged row is looked for. "Patroni alone" is the same stack
without a supervisor, so that nobody frees the leadership: with our timings, and with Patroni's own.

    python bench/failover.py [--runs 20] [--alone 3]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from millions.cli import members
from millions.runtime import desired, etcd, pidfiles, processes, status, supervisor
from millions.runtime.state import StateFolder, open_folder

if TYPE_CHECKING:
    from collections.abc import Callable

    from millions.model import Unit

RESULTS = Path(__file__).parent / "results"
PORT = 8471
STACK = f"""\
rung = 4
[app]
name = "fail"
web = "application:app"
[balancer]
listen = "127.0.0.1:{PORT}"
[database]
memory_mib = 128
"""
APPLICATION = """\
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while (await receive())["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"well"})
"""
PATRONIS_OWN = {"ttl": 30, "loop_wait": 10, "retry_timeout": 10, "primary_start_timeout": 300}
SETTLED_WITHIN_S = 120.0
BEFORE_S, AFTER_S = 1.0, 3.0
AIMS = {"worst": "<= 1 s", "median": "<= 0.5 s", "up": "<= 15 s", "again": "<= 8 s"}


@dataclass(slots=True)
class Client:
    """Writes without pause and remembers what was acknowledged, and when."""

    conninfo: str
    name: str
    acknowledged: list[tuple[int, float]] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def work(self) -> None:
        number = 0
        while not self.ended.is_set():
            try:
                with psycopg.connect(self.conninfo, autocommit=True) as connection:
                    while not self.ended.is_set():
                        number += 1
                        connection.execute(
                            "INSERT INTO written VALUES (%s, %s)", (self.name, number)
                        )
                        self.acknowledged.append((number, time.monotonic()))
            except psycopg.Error:
                self.ended.wait(0.002)

    def gap_s(self, since: float) -> float:
        times = [since, *(at for _, at in self.acknowledged if at >= since)]
        return max(after - before for before, after in pairwise([*times, time.monotonic()]))


@dataclass(slots=True)
class Bench:
    """The stack under test."""

    folder: Path

    def millions(self, *arguments: str) -> None:
        done = subprocess.run(
            [
                str(Path(sys.executable).parent / "millions"),
                "-C",
                str(self.folder / "app"),
                *arguments,
            ],
            env={**os.environ, "MILLIONS_HOME": str(self.folder / "home")},
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        if done.returncode:
            raise SystemExit(done.stdout + done.stderr)

    @property
    def state(self) -> StateFolder:
        (found,) = (self.folder / "home").glob("fail-*")
        return open_folder(found)

    @property
    def wanted(self) -> desired.Desired:
        found = desired.read(self.state.desired)
        assert found is not None
        return found

    def unit(self, name: str) -> Unit:
        return next(each for each in self.wanted.units if each.name == name)

    def agent(self, name: str) -> processes.Identity:
        told = status.read(self.state.status)
        assert told is not None
        pid = next(each.pid for each in told.units if each.name == name)
        found = processes.identify(pid or 0)
        assert found is not None
        return found

    def server(self, name: str) -> processes.Identity:
        found = pidfiles.living(self.state, self.unit(name))
        assert found is not None
        return found

    def leader(self) -> str:
        return members.leader(members.members(self.wanted))

    def settled(self) -> None:
        """Wait until everything is ready and both replicas are complete."""
        deadline = time.monotonic() + SETTLED_WITHIN_S
        while time.monotonic() < deadline:
            told = status.read(self.state.status)
            if told is not None and told.settled:
                found = members.confirmed(self.wanted, members.members(self.wanted))
                if sum(each.complete for each in found) == len(found) - 1:
                    return
            time.sleep(0.1)
        raise SystemExit("the stack did not become ready again")

    @property
    def conninfo(self) -> str:
        place = self.wanted.directory and self.wanted.directory.database
        assert place
        shard = place.shards[0]
        hosts = ",".join(each.host for each in (shard.primary, *shard.replicas))
        password = Path(place.password_file).read_text().strip()
        return (
            f"host={hosts} port=5432 dbname={place.name} user={place.user} password={password} "
            "target_session_attrs=read-write connect_timeout=2"
        )

    def run(self, name: str, event: Callable[[str], None]) -> tuple[float, int, int]:
        """Write through one event: the gap, the rows acknowledged, and how many are lost."""
        client = Client(self.conninfo, name)
        writing = threading.Thread(target=client.work)
        former = self.leader()
        writing.start()
        time.sleep(BEFORE_S)
        began = time.monotonic()
        event(former)
        count = len(client.acknowledged)
        while len(client.acknowledged) < count + 20 and time.monotonic() < began + 90:
            time.sleep(0.05)
        time.sleep(AFTER_S)
        gap_s = client.gap_s(began)
        client.ended.set()
        writing.join()
        with psycopg.connect(self.conninfo, autocommit=True) as connection:
            rows = connection.execute("SELECT number FROM written WHERE writer = %s", (name,))
            there = {number for (number,) in rows.fetchall()}
        lost = sum(number not in there for number, _ in client.acknowledged)
        return gap_s, len(client.acknowledged), lost

    def kill_postgres(self, leader: str) -> None:
        processes.send(self.server(leader), signal.SIGKILL)

    def kill_server(self, leader: str) -> None:
        agent, server = self.agent(leader), self.server(leader)
        processes.kill_tree(agent)
        processes.kill_tree(server)

    def switch(self, leader: str) -> None:  # as `millions switchover` does it
        processes.send(self.server(leader), signal.SIGINT)

    def unsupervised(self) -> None:
        pid = supervisor.running(self.state)
        found = processes.identify(pid or 0)
        if found is not None:
            processes.send(found, signal.SIGKILL)
            processes.wait_gone((found,))

    def agree(self, changes: dict[str, Any]) -> None:
        """Change what the members have agreed on."""
        lease = self.unit("database.1").lease
        assert lease is not None
        place = lambda text: text.replace("{secrets}", str(self.state.secrets))  # noqa: E731
        service = etcd.Service(
            servers=lease.servers,
            ca=place(lease.ca),
            certificate=place(lease.certificate),
            key_file=place(lease.key_file),
        )
        key = lease.key.replace("leader", "config")
        known = json.loads(etcd.get(service, key) or "{}")
        etcd.put(service, key, json.dumps(known | changes))
        time.sleep(12)  # until each member has read it


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--runs", type=int, default=20)
    arguments.add_argument("--alone", type=int, default=3)
    given = arguments.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="millions-bench-", dir="/tmp"))
    folder.chmod(0o755)
    (folder / "app").mkdir()
    (folder / "app" / "millions.toml").write_text(STACK)
    (folder / "app" / "application.py").write_text(APPLICATION)
    bench, found = Bench(folder), {}
    try:
        found["up"] = _up(bench)
        with psycopg.connect(bench.conninfo, autocommit=True) as connection:
            connection.execute("CREATE TABLE written (writer text, number bigint)")
        cases = {
            "PostgreSQL killed": bench.kill_postgres,
            "server killed": bench.kill_server,
            "planned": bench.switch,
        }
        for case, event in cases.items():
            found[case] = _case(bench, case, event, given.runs)
        for case, changes in {
            "server killed, Patroni alone": {},
            "server killed, Patroni's own timings": PATRONIS_OWN,
        }.items():
            if given.alone:
                found[case] = _alone(bench, case, given.alone, changes)
    finally:
        bench.millions("down")
        shutil.rmtree(folder, ignore_errors=True)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "failover.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def _up(bench: Bench) -> dict[str, float]:
    took: dict[str, float] = {}
    for kind in ("up", "again"):
        if took:
            bench.millions("down")
        began = time.monotonic()
        bench.millions("up", "--detach")
        with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/", timeout=10) as answer:
            assert answer.status == 200
        took[kind] = time.monotonic() - began
        print(f"{'rung 4, ' + kind:40}{took[kind]:8.2f} s  aim {AIMS[kind]}", flush=True)
    return took


def _case(bench: Bench, case: str, event: Callable[[str], None], runs: int) -> dict[str, Any]:
    results = []
    for number in range(runs):
        bench.settled()
        results.append(bench.run(f"{case} {number}", event))
    return _told(case, results)


def _alone(bench: Bench, case: str, runs: int, changes: dict[str, Any]) -> dict[str, Any]:
    results = []
    for number in range(runs):
        bench.settled()
        bench.agree(changes)
        bench.unsupervised()
        results.append(bench.run(f"{case} {number}", bench.kill_server))
        supervisor.ensure(bench.state)
    return _told(case, results)


def _told(case: str, results: list[tuple[float, int, int]]) -> dict[str, Any]:
    gaps = sorted(gap for gap, _, _ in results)
    middle, lost = statistics.median(gaps), sum(lost for _, _, lost in results)
    rows = sum(rows for _, rows, _ in results)
    print(
        f"{case:40}{gaps[0]:8.2f}{middle:8.2f}{gaps[-1]:8.2f} s  {len(gaps)} runs, "
        f"{lost} of {rows:,} acknowledged rows lost  aim {AIMS['median']}, {AIMS['worst']}",
        flush=True,
    )
    return {"gap_s": gaps, "median_s": middle, "worst_s": gaps[-1], "rows": rows, "lost": lost}


if __name__ == "__main__":
    main()
