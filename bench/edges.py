"""What an edge costs and spares: Varnish as we configure it against nginx serving the same file.

CPU per hit by the CPU time of all server processes, in turn (A B A B …); then a mix of a
photo-sharing site, by how many of its requests reach the application, cold and warm. nginx is left
out where it is not installed. Writes bench/results/edges.json.

    python bench/edges.py [--rounds 5] [--requests 6000] [--mix 30000]
"""

from __future__ import annotations

import argparse
import asyncio
import bisect
import contextlib
import itertools
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
from rounds import RESULTS

from millions.model import Address
from millions.runtime.ports import free_port
from millions.testing import eventually
from millions.testing.load import Connection
from millions.tiers import edge, varnish
from millions.tiers.haproxy_edges import SECRET_VARIABLE

HOST = "127.0.0.1"
SECRET = "the-secret-of-a-bench"
PATH = f"{os.environ['PATH']}:/usr/sbin"
SIZES = {"1 KiB": 1_024, "30 KiB": 30_720, "300 KiB": 307_200}
CLIENTS = 8
PICTURES, PAGES, ASSETS = 2_000, 200, 12
OF_A_VIEW = 16
"""A view of a page is the page, three assets and twelve pictures, of which few are asked for often
(1/rank)."""

AIM_SPARED = 50
NGINX = """
worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 512; }}
http {{
  access_log off; sendfile on; keepalive_requests 1000000; open_file_cache max=100;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{ listen {host}:{port}; root {folder}/files; }}
}}
"""


class Origin:
    """Answers what is asked for, by its size, and counts."""

    def __init__(self) -> None:
        self.port = free_port()
        self.asked = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(EOFError, OSError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                path = head.split(b" ", 2)[1].decode()
                self.asked += 1
                size = int(path.rpartition("-")[2]) if "-" in path else 2_000
                keep = b"private" if b"cookie" in head.lower() else b"public, max-age=60"
                writer.write(
                    b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\ncache-control: %s\r\n\r\n"
                    % (size, keep)
                )
                writer.write(b"x" * size)
        writer.close()


async def started(command: list[str], port: int) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(  # noqa: ASYNC220  # it starts at once
        command,
        env={"PATH": PATH, SECRET_VARIABLE: SECRET},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    async def there() -> bool:
        _, writer = await asyncio.open_connection(HOST, port)
        writer.close()
        return True

    await eventually(there, within_s=60)
    return process


async def an_edge(folder: Path, origin: Origin) -> tuple[subprocess.Popen[bytes], int]:
    rules = varnish.Rules(
        origin=Address(host=HOST, port=origin.port),
        answer_s=10,
        revalidate_s=10,
        stale_s=3600,
        missing_s=2,
        object_mib=16,
    )
    (folder / "edge.vcl").write_text(varnish.configuration(rules))
    port = free_port()
    process = edge.Process("edge.1", Address(host=HOST, port=port), 256)
    program = shutil.which("varnishd", path=PATH) or "varnishd"
    return await started(list(edge.command(program, process, str(folder))), port), port


async def an_nginx(folder: Path) -> tuple[subprocess.Popen[bytes], int]:
    port = free_port()
    (folder / "files").mkdir(mode=0o755)
    folder.chmod(0o755)  # noqa: ASYNC240  # its workers run as another user
    for size in SIZES.values():
        (folder / "files" / f"file-{size}").write_bytes(b"x" * size)
    file = folder / "nginx.conf"
    file.write_text(NGINX.format(folder=folder, host=HOST, port=port))
    program = shutil.which("nginx", path=PATH) or "nginx"
    return await started([program, "-c", str(file)], port), port


def get(path: str, *headers: str) -> bytes:
    lines = [f"GET {path} HTTP/1.1", "host: photos.test", f"x-millions-edge: {SECRET}", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def ask(port: int, requests: list[bytes]) -> None:
    left = iter(requests)

    async def client() -> None:
        connection = Connection(HOST, port)
        for each in left:
            answer = await connection.ask(each)
            assert answer.status == 200, answer
        await connection.close()

    await asyncio.gather(*(client() for _ in range(CLIENTS)))


def cpu_s(process: subprocess.Popen[bytes]) -> float:
    all_of_it = [psutil.Process(process.pid)]
    all_of_it += all_of_it[0].children(recursive=True)
    return sum(sum(each.cpu_times()[:2]) for each in all_of_it)


async def hits(
    servers: dict[str, tuple[subprocess.Popen[bytes], int]], args: argparse.Namespace
) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, list[float]]] = {}
    for _ in range(args.rounds):
        for label, size in SIZES.items():
            for name, (process, port) in servers.items():
                requests = [get(f"/file-{size}")] * args.requests
                await ask(port, requests[:50])
                before = cpu_s(process)
                await ask(port, requests)
                spent = (cpu_s(process) - before) / args.requests * 1e6
                found.setdefault(label, {}).setdefault(name, []).append(spent)
    return {
        label: {name: round(statistics.median(each), 1) for name, each in of.items()}
        for label, of in found.items()
    }


def views(count: int, known: float) -> tuple[list[bytes], int]:
    """Requests of page views, and how many go around edges: pages of who is known."""
    chance = random.Random(7)
    weights = list(itertools.accumulate(1 / rank for rank in range(1, PICTURES + 1)))

    def ranked(most: int) -> int:
        return bisect.bisect(weights, chance.random() * weights[most - 1], hi=most - 1)

    made: list[bytes] = []
    around = 0
    for _ in range(count // OF_A_VIEW):
        if chance.random() < known:
            around += 1
        else:
            made.append(get(f"/photos/{ranked(PAGES)}"))
        made += [get(f"/assets/{chance.randrange(ASSETS)}") for _ in range(3)]
        made += [get(f"/files/{ranked(PICTURES)}-20000") for _ in range(OF_A_VIEW - 4)]
    return made, around


async def mix(folder: Path, known: float, count: int) -> dict[str, float]:
    origin = Origin()
    server = await asyncio.start_server(origin.serve, HOST, origin.port)
    process, port = await an_edge(folder, origin)
    try:
        spared: dict[str, float] = {}
        for part in ("cold", "warm"):
            origin.asked = 0
            requests, around = views(count, known)
            await ask(port, requests)
            reached = origin.asked + around
            spared[part] = round((len(requests) + around) / max(1, reached), 1)
        return spared
    finally:
        process.terminate()
        process.wait(20)
        server.close()


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=6_000)
    parser.add_argument("--mix", type=int, default=30_000)
    args = parser.parse_args()
    with contextlib.ExitStack() as made:
        folders = [Path(made.enter_context(tempfile.TemporaryDirectory())) for _ in range(4)]
        origin = Origin()
        server = await asyncio.start_server(origin.serve, HOST, origin.port)
        servers = {"edge": await an_edge(folders[0], origin)}
        if shutil.which("nginx", path=PATH):
            servers["nginx"] = await an_nginx(folders[1])
        try:
            cpu = await hits(servers, args)
        finally:
            for process, _ in servers.values():
                process.terminate()
                process.wait(20)
            server.close()
        spared = {
            "nobody known": await mix(folders[2], 0.0, args.mix),
            "3 in 10 known": await mix(folders[3], 0.3, args.mix),
        }
    print("CPU per hit, µs\n" + "\n".join(f"  {label:8} {each}" for label, each in cpu.items()))
    print(f"requests for one that reaches the application (aim {AIM_SPARED})")
    print("\n".join(f"  {label:14} {each}" for label, each in spared.items()))
    RESULTS.mkdir(exist_ok=True)
    found = {"cpu_us": cpu, "spared": spared, "aim": AIM_SPARED}
    (RESULTS / "edges.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
