"""How soon a step of load from 1x to 5x brings web servers, how many, and what it costs.

A page holds one of four places of its server for 50 ms, as a query holds a connection: a server
answers 80 a second, whatever the processors do. Clients ask for 40 a second, then for 200. Times
count from the step: to the decision, to the first new server that is ready, to its first request,
to as many as the load needs; then from the end of the step to the last server that goes. At last
what looking costs while nothing happens. Writes bench/results/autoscale.json.

    python bench/autoscale.py [--rounds 5] [--seconds 20] [--idle 20]
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import io
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
from rounds import RESULTS

from millions.model import Address
from millions.runtime.ports import free_port
from millions.testing.load import Load, Tally

HOST = "127.0.0.1"
MILLIONS = str(Path(sys.executable).parent / "millions")
CALM_PER_S, BUSY_PER_S = 40.0, 200.0
CALM_CLIENTS, BUSY_CLIENTS = 8, 300
NEEDED, MOST = 3, 5
IDLE_S = 10
AIM_S = 5.0
BOUND_S = 120.0
APPLICATION = """
import asyncio
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from millions import Millions

places = asyncio.Semaphore(4)

async def page(request):
    async with places:
        await asyncio.sleep(0.05)
    return PlainTextResponse("done")

app = Millions(Starlette(routes=[Route("/page", page)]), access_log=False)
"""
STACK = """
rung = 3
[app]
name = "busy"
web = "busy:app"
[web]
servers = 1
servers_min = 1
servers_max = {most}
server_requests = 8
servers_idle_s = {idle_s}
[balancer]
listen = "127.0.0.1:{port}"
[database]
memory_mib = 64
pool_connections = 4
"""


class Stack:
    """The application behind a balancer, in folders of its own."""

    def __init__(self) -> None:
        self.root, self.port = Path(tempfile.mkdtemp(prefix="millions-bench-")), free_port()
        self.root.chmod(0o755)
        self._folder, self._home = self.root / "busy", self.root / "home"
        self._folder.mkdir()
        self._home.mkdir(mode=0o755)
        (self._folder / "busy.py").write_text(APPLICATION)
        text = STACK.format(most=MOST, idle_s=IDLE_S, port=self.port)
        (self._folder / "millions.toml").write_text(text)

    def run(self, *arguments: str) -> None:
        subprocess.run(
            [MILLIONS, *arguments],
            cwd=self._folder,
            env={**os.environ, "MILLIONS_HOME": str(self._home)},
            check=True,
            capture_output=True,
            timeout=BOUND_S,
        )

    @property
    def state(self) -> Path:
        (found,) = self._home.glob("busy-*")
        return found

    def status(self) -> dict[str, Any]:
        return dict(json.loads((self.state / "status.json").read_text()))

    def ready(self) -> int:
        units = self.status()["units"]
        return sum(each["tier"] == "web" and each["phase"] == "ready" for each in units)

    def asked(self) -> int:
        """How many web servers have got a request."""
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(self.state / "run" / "balancer.1.sock"))
            client.sendall(b"show stat web 4 -1\n")
            text = b""
            while part := client.recv(65_536):
                text += part
        rows = csv.DictReader(io.StringIO(text.decode().lstrip("# ")))
        return sum(int(row["stot"] or 0) > 0 for row in rows)

    def load(self, rate_per_s: float, clients: int) -> Load:
        address = Address(host=HOST, port=self.port)
        return Load(address, clients=clients, path="/page", rate_per_s=rate_per_s)


async def until(check: Any, since_s: float) -> float:
    """Seconds from `since_s` until the check holds."""
    while not check():
        if time.perf_counter() - since_s > BOUND_S:
            raise SystemExit("it did not come so far")
        await asyncio.sleep(0.01)
    return time.perf_counter() - since_s


async def one_round(stack: Stack, seconds: float) -> dict[str, Any]:
    """One step and its end."""
    async with stack.load(CALM_PER_S, CALM_CLIENTS) as calm:
        await asyncio.sleep(4.0)
        await until(lambda: stack.ready() == 1, time.perf_counter())
        began_s, highest = time.perf_counter(), 0
        async with stack.load(BUSY_PER_S - CALM_PER_S, BUSY_CLIENTS) as busy:
            decided = await until(lambda: stack.status()["scaling"][0]["count"] > 1, began_s)
            ready = await until(lambda: stack.ready() > 1, began_s)
            asked = await until(lambda: stack.asked() > 1, began_s)
            enough = await until(lambda: stack.ready() >= NEEDED, began_s)
            while time.perf_counter() < began_s + seconds:
                highest = max(highest, stack.ready())
                await asyncio.sleep(0.05)
        ended_s = time.perf_counter()
        gone = await until(lambda: stack.ready() == 1, ended_s)
    tallies: list[Tally] = [calm.tally, busy.tally]
    found = {
        "decided_s": decided,
        "ready_s": ready,
        "asked_s": asked,
        "enough_s": enough,
        "most_ready": highest,
        "gone_s": gone,
        "requests": sum(each.sent for each in tallies),
        "failed": sum(each.failed for each in tallies),
        "failures": [dict(each.failures) for each in tallies],
        "slowest_s": busy.tally.latency_s(1.0),
        "p50_s": busy.tally.latency_s(0.5),
    }
    print(
        f"decided {decided:.2f} s, ready {ready:.2f} s, asked {asked:.2f} s, {NEEDED} ready "
        f"{enough:.2f} s, at most {highest}; gone {gone:.1f} s after the end; "
        f"{found['failed']} of {found['requests']} failed; slowest {found['slowest_s']:.2f} s"
    )
    return found


def idle(stack: Stack, seconds: float) -> dict[str, float]:
    """CPU of the supervisor and of HAProxy while nothing is asked, in per cent of a core."""
    balancer = next(each for each in stack.status()["units"] if each["name"] == "balancer.1")
    pids = [int(stack.status()["supervisor_pid"]), int(balancer["pid"])]
    processes = [psutil.Process(pid) for pid in pids]
    groups = [[each, *each.children()] if each.pid == pids[1] else [each] for each in processes]
    before = [_cpu_s(group) for group in groups]
    time.sleep(seconds)
    spent = [
        100 * (_cpu_s(group) - then) / seconds for group, then in zip(groups, before, strict=True)
    ]
    print(f"looking four times a second: supervisor {spent[0]:.2f} %, HAProxy {spent[1]:.2f} %")
    return {"supervisor_percent": spent[0], "haproxy_percent": spent[1]}


def _cpu_s(group: list[psutil.Process]) -> float:
    return sum(each.cpu_times().user + each.cpu_times().system for each in group)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--idle", type=float, default=20.0)
    said = parser.parse_args()
    stack = Stack()
    try:
        await asyncio.to_thread(stack.run, "up", "--detach")
        rounds = [await one_round(stack, said.seconds) for _ in range(said.rounds)]
        quiet = idle(stack, said.idle) if said.idle else {}
    finally:
        stack.run("down")
        shutil.rmtree(stack.root)
    firsts = [each["ready_s"] for each in rounds]
    print(
        f"from the step to the first new ready server: median {statistics.median(firsts):.2f} s, "
        f"worst {max(firsts):.2f} s (aim {AIM_S:g} s)"
    )
    RESULTS.mkdir(exist_ok=True)
    document = {"rounds": rounds, "idle": quiet, "aim_s": AIM_S}
    (RESULTS / "autoscale.json").write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    asyncio.run(main())
