"""What a request through the middleware costs: the bare application against the wrapped one.

Both are served by the same server (uvicorn, uvloop, httptools) in a process each, started beside
each other, and loaded in turn (A B A B …) by the same keep-alive clients. Measured is the CPU time
of the server process per request. Writes bench/results/middleware.json.

    python bench/middleware.py [--rounds 7] [--requests 6000]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from millions.runtime.ports import free_port
from millions.sdk.sessions.cookie import Cookie, new_id
from millions.sdk.signing import read_secret
from millions.testing import EmbeddedPostgres, directory_for
from millions.testing.load import Connection, ask, get

if TYPE_CHECKING:
    from millions.directory import Directory

HERE = Path(__file__)
HOST = "127.0.0.1"
CLIENTS = 16
AIM_US = 60
APPLICATIONS = ("asgi", "starlette")
VARIANTS = {
    "+silent": "without the access log",
    "+millions": "as it comes",
    "+cookie": "as it comes, with a session's cookie in each request",
}

HEADERS = (
    "user-agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n"
    "accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
    "accept-language: en-US,en;q=0.5\r\naccept-encoding: gzip, deflate, br\r\n"
)


async def _hello(scope: Any, _receive: Any, send: Any) -> None:
    """A bare ASGI application: what the server alone costs."""
    if scope["type"] == "http":
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"content-type", b"text/plain"), (b"content-length", b"5")],
            }
        )
        await send({"type": "http.response.body", "body": b"hello"})


def session_cookie(directory: Directory) -> str:
    """A request's header with the signed id of a session."""
    given = Cookie(read_secret(directory.secret_file), secure=False).given(new_id(), 3600)
    return f"cookie: theme=dark; {given.decode().partition(';')[0]}\r\n"


def starlette() -> Any:
    from starlette.applications import Starlette  # noqa: PLC0415  # only the server needs it
    from starlette.responses import JSONResponse  # noqa: PLC0415
    from starlette.routing import Route  # noqa: PLC0415

    async def hello(_request: Any) -> JSONResponse:
        return JSONResponse({"hello": "world"})

    return Starlette(routes=[Route("/hello/{name}", hello)])


def serve(kind: str, port: int) -> None:
    """Serve one variant: asgi, asgi+millions, starlette, starlette+millions."""
    import uvicorn  # noqa: PLC0415
    import uvloop  # noqa: PLC0415

    from millions.sdk import handover, log  # noqa: PLC0415
    from millions.sdk.drain import DrainingProtocol, DrainingServer  # noqa: PLC0415

    name, _, wrapped = kind.partition("+")
    app: Any = _hello if name == "asgi" else starlette()
    log.configure()
    if wrapped:
        from millions.sdk.asgi import Millions  # noqa: PLC0415

        app = Millions(app, access_log=wrapped != "silent")
    config = uvicorn.Config(
        app,
        interface="asgi3",
        http=DrainingProtocol,
        lifespan="on" if wrapped else "off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
    )
    uvloop.run(DrainingServer(config).serve([handover.bind(f"{HOST}:{port}")]))


class Server:
    """One server process."""

    def __init__(
        self, kind: str, environment: dict[str, str], folder: Path, *, cookie: str
    ) -> None:
        self.kind = kind
        self.request = get(
            "/hello/you", headers=HEADERS + (cookie if kind.endswith("+cookie") else "")
        )(0)
        self.port = free_port()
        self.log = (folder / f"{kind}.log").open("wb")
        self.process = subprocess.Popen(
            [sys.executable, str(HERE), "--serve", kind, "--port", str(self.port)],
            env=environment,
            stdout=self.log,
            stderr=self.log,
        )
        self.watched = psutil.Process(self.process.pid)

    async def ready(self) -> None:
        for _ in range(200):
            try:
                await ask(HOST, self.port, get("/hello/you")(0))
            except OSError:
                await asyncio.sleep(0.05)
            else:
                return
        raise SystemExit(f"{self.kind} did not start: see {self.log.name}")

    async def load(self, requests: int) -> float:
        """Answer the server's CPU time per request, in microseconds."""
        before = self.watched.cpu_times()
        await asyncio.gather(*(self._client(requests // CLIENTS) for _ in range(CLIENTS)))
        after = self.watched.cpu_times()
        spent_s = after.user + after.system - before.user - before.system
        return spent_s / (requests // CLIENTS * CLIENTS) * 1e6

    async def _client(self, requests: int) -> None:
        connection = Connection(HOST, self.port)
        for _ in range(requests):
            answer = await connection.ask(self.request)
            if answer.status != 200:
                raise SystemExit(f"{self.kind} answered {answer.status}: {answer.body!r}")
        await connection.close()

    def stop(self) -> None:
        self.process.kill()
        self.process.wait(10)
        self.log.close()


async def measure(servers: list[Server], rounds: int, requests: int) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {each.kind: [] for each in servers}
    for each in servers:
        await each.ready()
        await each.load(requests // 4)  # warm
    for number in range(rounds):
        turn = servers if number % 2 == 0 else servers[::-1]
        for each in turn:
            found[each.kind].append(await each.load(requests))
    return found


def table(found: dict[str, list[float]]) -> list[dict[str, Any]]:
    rows = []
    for name in APPLICATIONS:
        bare = statistics.median(found[name])
        for kind in (f"{name}{how}" for how in VARIANTS):
            median = statistics.median(found[kind])
            differences = [b - a for a, b in zip(found[name], found[kind], strict=True)]
            rows.append(
                {
                    "application": kind,
                    "bare_us": round(bare, 1),
                    "wrapped_us": round(median, 1),
                    "added_us": round(statistics.median(differences), 1),
                    "added_us_all": [round(each, 1) for each in differences],
                }
            )
    return rows


def run(rounds: int, requests: int) -> dict[str, list[float]]:
    """Start all variants on one database and measure them in turn."""
    with tempfile.TemporaryDirectory(prefix="millions-bench-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o711)
        postgres = EmbeddedPostgres(folder / "postgres").start()
        servers: list[Server] = []
        try:
            directory = directory_for(postgres.create_database("bench"), folder / "stack")
            (folder / "directory.json").write_text(directory.text())
            environment = {**os.environ, "MILLIONS_DIRECTORY": str(folder / "directory.json")}
            kinds = [f"{name}{how}" for name in APPLICATIONS for how in ("", *VARIANTS)]
            cookie = session_cookie(directory)
            servers = [Server(kind, environment, folder, cookie=cookie) for kind in kinds]
            return asyncio.run(measure(servers, rounds, requests))
        finally:
            for each in servers:
                each.stop()
            postgres.remove()


def write(rows: list[dict[str, Any]], found: dict[str, list[float]]) -> None:
    print(f"{'application':22} {'bare µs':>9} {'wrapped µs':>11} {'added µs':>9}   aim +{AIM_US}")
    for row in rows:
        print(
            f"{row['application']:22} {row['bare_us']:9.1f} {row['wrapped_us']:11.1f} "
            f"{row['added_us']:9.1f}"
        )
    results = HERE.parent / "results"
    results.mkdir(exist_ok=True)
    machine = {
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "load": os.getloadavg(),
    }
    document = {"aim_us": AIM_US, "machine": machine, "rows": rows, "cpu_us": found}
    (results / "middleware.json").write_text(json.dumps(document, indent=1))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=7)
    arguments.add_argument("--requests", type=int, default=6000)
    arguments.add_argument("--serve", default="")
    arguments.add_argument("--port", type=int, default=0)
    given = arguments.parse_args()
    if given.serve:
        serve(given.serve, given.port)
        return
    found = run(given.rounds, given.requests)
    write(table(found), found)


if __name__ == "__main__":
    main()
