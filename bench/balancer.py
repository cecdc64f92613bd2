"""What the balancer costs and how it stands changes: HAProxy as we configure it before granian.

CPU per request through the balancer against granian alone, in turn (A B A B …), by the CPU time of
all server processes; then a stack with a balancer under load while web servers join and leave, and
while the balancer itself is killed. 0 leaves a part out. Writes bench/results/balancer.json.

    python bench/balancer.py [--rounds 7] [--requests 8000] [--changes 50000] [--kills 5]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import signal
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
from millions.reconcile.backoff import STEADY_S
from millions.runtime.ports import free_port
from millions.testing import eventually
from millions.testing.load import Connection, Load, get
from millions.tiers import haproxy

HOST = "127.0.0.1"
CLIENTS = 16
BIN = Path(sys.executable).parent
HAPROXY = shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin") or "haproxy"
REQUEST = get("/", headers="user-agent: Mozilla/5.0\r\naccept: text/html\r\ncookie: a=b\r\n")(0)
AIM_RATIO, AIM_VISIBLE_S = 2.0, 0.5
APPLICATION = """
async def app(scope, receive, send):
    if scope["type"] == "http":
        headers = [(b"content-type", b"application/json"), (b"content-length", b"17")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b'{"hello":"world"}'})
"""
STACK = """
[web]
servers = 2
[balancer]
listen = "127.0.0.1:{port}"
"""


class Servers:
    """granian with a trivial application, and HAProxy before it."""

    def __init__(self, folder: Path) -> None:
        self.direct, self.balanced, private = free_port(), free_port(), free_port()
        (folder / "trivial.py").write_text(APPLICATION)
        self._granian = subprocess.Popen(
            [
                *(str(BIN / "granian"), "--interface", "asgi", "--http", "1", "--loop", "uvloop"),
                *("--host", HOST, "--port", str(self.direct), "--log-level", "error"),
                "trivial:app",
            ],
            cwd=folder,
            stderr=subprocess.DEVNULL,
        )
        rules = haproxy.Rules(
            socket=f"{folder}/socket",
            private=Address(host=HOST, port=private),
            origin=Address(host=HOST, port=free_port()),
            secured=None,
            exempt=(),  # so that this machine's requests are counted as everybody's
            max_body_mib=64,
            **{**_defaults(), "connections_per_address": 1000, "requests_per_s": 1_000_000},
        )
        server = f"    server web.1 {HOST}:{self.direct} {haproxy.server_options(HOST, 500)}"
        text = haproxy.configuration(rules).replace("{servers}", server)
        (folder / "haproxy.cfg").write_text(
            text.replace("bind fd@3", f"bind {HOST}:{self.balanced}")
        )
        self._haproxy = subprocess.Popen(
            [HAPROXY, "-W", "-f", str(folder / "haproxy.cfg")],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def cpu_s(self) -> tuple[float, float]:
        """CPU time so far of granian and of HAProxy, with their children."""
        return _cpu_s(self._granian.pid), _cpu_s(self._haproxy.pid)

    def close(self) -> None:
        for each in (self._haproxy, self._granian):
            each.terminate()
            each.wait(20)


def _defaults() -> dict[str, Any]:
    from millions.tiers.balancer import Balancer  # noqa: PLC0415  # beside the rules

    settings = Balancer()
    return {name: getattr(settings, name) for name in haproxy.TAKEN_OVER}


def _cpu_s(pid: int) -> float:
    process = psutil.Process(pid)
    times = [each.cpu_times() for each in (process, *process.children(recursive=True))]
    return sum(each.user + each.system for each in times)


async def ask(port: int, requests: int) -> None:
    async def client(count: int) -> None:
        connection = Connection(HOST, port)
        for _ in range(count):
            answer = await connection.ask(REQUEST)
            assert answer.status == 200, answer
        await connection.close()

    await asyncio.gather(*(client(requests // CLIENTS) for _ in range(CLIENTS)))


async def cost(rounds: int, requests: int) -> dict[str, Any]:
    """CPU per request, in turn."""
    folder = Path(tempfile.mkdtemp(prefix="millions-bench-"))
    servers = Servers(folder)
    alone, through, ratios, share = [], [], [], []
    try:
        await _answers(servers.balanced)
        for port in (servers.direct, servers.balanced):
            await ask(port, requests)
        for _ in range(rounds):
            before = servers.cpu_s()
            await ask(servers.direct, requests)
            middle = servers.cpu_s()
            await ask(servers.balanced, requests)
            after = servers.cpu_s()
            alone.append((middle[0] - before[0]) / requests * 1e6)
            through.append((sum(after) - sum(middle)) / requests * 1e6)
            share.append((after[1] - middle[1]) / requests * 1e6)
            ratios.append(through[-1] / alone[-1])
    finally:
        servers.close()
        shutil.rmtree(folder)
    found = {
        "alone_us": statistics.median(alone),
        "through_us": statistics.median(through),
        "haproxy_us": statistics.median(share),
        "ratio": statistics.median(ratios),
        "ratios": ratios,
        "aim_ratio": AIM_RATIO,
    }
    print(
        f"CPU per request, µs: granian alone {found['alone_us']:.0f}, through the balancer "
        f"{found['through_us']:.0f} (HAProxy {found['haproxy_us']:.0f}): {found['ratio']:.2f}x"
        f" (aim {AIM_RATIO}x)"
    )
    return found


async def _answers(port: int) -> None:
    for _ in range(500):
        try:
            await ask(port, CLIENTS)
        except (OSError, EOFError, AssertionError):
            await asyncio.sleep(0.02)
            continue
        return
    raise AssertionError("nothing answers")


class Stack:
    """A new application behind a balancer."""

    def __init__(self) -> None:
        self.root, self.port = Path(tempfile.mkdtemp(prefix="millions-bench-")), free_port()
        self.root.chmod(0o755)
        self.folder = self.root / "bench"
        self._home = self.root / "home"
        self._home.mkdir(mode=0o755)
        self.run("new", "bench", cwd=self.root)
        file = self.folder / "millions.toml"
        text = file.read_text().replace("rung = 1", "rung = 3")
        lines = [line for line in text.splitlines() if line != "[web]"]
        file.write_text("\n".join(lines) + STACK.format(port=self.port))

    def run(self, *arguments: str, cwd: Path | None = None) -> None:
        subprocess.run(
            [str(BIN / "millions"), *arguments],
            cwd=cwd or self.folder,
            env={**os.environ, "MILLIONS_HOME": str(self._home)},
            check=True,
            capture_output=True,
            timeout=120,
        )

    def unit(self, name: str) -> dict[str, Any]:
        (state,) = self._home.glob("bench-*")
        status = json.loads((state / "status.json").read_text())
        return next((each for each in status["units"] if each["name"] == name), {})

    def load(self) -> Load:
        address = Address(host=HOST, port=self.port)
        return Load(address, clients=CLIENTS, mode="both", path="/healthz")

    async def first_answer_s(self, name: str) -> float:
        """From the moment a unit is ready until the balancer asks it."""
        (state,) = self._home.glob("bench-*")
        ready_s = 0.0
        while True:
            now_s = time.perf_counter()
            if not ready_s and self.unit(name).get("phase") == "ready":
                ready_s = now_s
            if ready_s and _asked(state / "run" / "balancer.1.sock", name):
                return now_s - ready_s
            await asyncio.sleep(0.005)


def _asked(path: Path, name: str) -> bool:
    import socket  # noqa: PLC0415  # only here

    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.sendall(b"show stat\n")
        text = b""
        while part := client.recv(65_536):
            text += part
    rows = [line.split(",") for line in text.decode().splitlines() if f"web,{name}," in line]
    return bool(rows) and int(rows[0][7]) > 0  # stot: sessions that were sent to it


async def changes(stack: Stack, requests: int) -> dict[str, Any]:
    """Web servers join and leave until so many requests were asked."""
    visible: list[float] = []
    async with stack.load() as load:
        while load.tally.sent < requests:
            joining = asyncio.create_task(stack.first_answer_s("web.3"))
            await asyncio.to_thread(stack.run, "scale", "web=3")
            visible.append(await asyncio.wait_for(joining, 30))
            await asyncio.to_thread(stack.run, "scale", "web=2")
    print(f"joining and leaving {len(visible)} times: {load.tally}")
    print(
        f"asked after it was ready: median {statistics.median(visible) * 1e3:.0f} ms, "
        f"worst {max(visible) * 1e3:.0f} ms (aim {AIM_VISIBLE_S * 1e3:.0f} ms)"
    )
    return {
        "requests": load.tally.sent,
        "failed": load.tally.failed,
        "failures": dict(load.tally.failures),
        "cycles": len(visible),
        "visible_s": visible,
    }


async def deaths(stack: Stack, kills: int) -> dict[str, Any]:
    """The balancer is killed under load, again and again."""
    gaps, failed = [], []
    for _ in range(kills):
        async with stack.load() as load:
            await eventually(lambda load=load: load.tally.good > 500, within_s=60)
            before = load.tally.failed
            load.tally.longest_gap_s = 0.0
            os.kill(int(stack.unit("balancer.1")["pid"]), signal.SIGKILL)
            good = load.tally.good
            await eventually(
                lambda load=load, good=good: load.tally.good > good + 10 * CLIENTS, within_s=60
            )
        gaps.append(load.tally.longest_gap_s)
        failed.append(load.tally.failed - before)
        await eventually(lambda: stack.unit("balancer.1").get("phase") == "ready", within_s=60)
        await asyncio.sleep(STEADY_S + 1)  # so that this death is not one of several in a row
    print(
        f"balancer killed {kills} times: nobody was answered for {statistics.median(gaps):.2f} s "
        f"(median), {max(gaps):.2f} s (worst); broken requests of {CLIENTS} clients: {failed}"
    )
    return {"gaps_s": gaps, "failed": failed, "clients": CLIENTS}


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--requests", type=int, default=8_000)
    parser.add_argument("--changes", type=int, default=50_000)
    parser.add_argument("--kills", type=int, default=5)
    said = parser.parse_args()
    file = RESULTS / "balancer.json"
    document: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    if said.rounds:
        document["cost"] = await cost(said.rounds, said.requests)
    stack = Stack()
    try:
        await asyncio.to_thread(stack.run, "up", "--detach")
        if said.changes:
            document["changes"] = await changes(stack, said.changes)
        if said.kills:
            document["deaths"] = await deaths(stack, said.kills)
    finally:
        stack.run("down")
        shutil.rmtree(stack.root)
    RESULTS.mkdir(exist_ok=True)
    file.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    asyncio.run(main())
