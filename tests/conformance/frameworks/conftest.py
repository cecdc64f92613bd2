"""One real web process for each framework, on a database of its own."""

import dataclasses
import os
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from served import CSS, Served

from millions.directory import WebPlace
from millions.runtime.ports import free_port
from millions.sdk.assets import build
from millions.testing import EmbeddedPostgres, directory_for, eventually

HERE = Path(__file__).parent
FRAMEWORKS = ("starlette", "fastapi", "litestar", "django")


@pytest.fixture(scope="session", params=FRAMEWORKS)
def framework(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def served(
    framework: str, millions_postgres: EmbeddedPostgres, millions_folder: Path
) -> AsyncIterator[Served]:
    folder = millions_folder / f"{framework}-{secrets.token_hex(3)}"
    place = millions_postgres.create_database(folder.name)
    directory = dataclasses.replace(directory_for(place, folder), web=WebPlace(max_body_mib=2))
    source = folder / "static"
    source.mkdir()
    (source / "app.css").write_text(CSS)
    (source / "dot.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    build(source, Path(directory.assets.folder))
    (folder / "directory.json").write_text(directory.text())
    millions_postgres.sql("CREATE TABLE notes (words text)", database=folder.name)
    public, private = (f"127.0.0.1:{free_port()}" for _ in range(2))
    process = _start(framework, folder, (public, private))
    async with httpx.AsyncClient(base_url=f"http://{public}", timeout=30) as client:
        running = Served(
            framework=framework,
            client=client,
            private=private,
            log=folder / "log",
            process=process,
            directory=directory,
        )
        try:
            await eventually(lambda: _ready(running), within_s=30)
            yield running
        finally:
            process.terminate()
            process.wait(20)


def _start(framework: str, folder: Path, addresses: tuple[str, str]) -> subprocess.Popen[bytes]:
    public, private = addresses
    program = [sys.executable, "-m", "millions.sdk.server", f"on_{framework}:app"]
    known = {
        "MILLIONS_DIRECTORY": str(folder / "directory.json"),
        "MILLIONS_PRIVATE": private,
        "MILLIONS_UNIT": "web.1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(
            [*program, "--bind", public],
            cwd=HERE,
            env={**os.environ, **known},
            stdout=log,
            stderr=log,
        )


async def _ready(running: Served) -> bool:
    assert running.process.poll() is None, running.log.read_text()
    return (await running.client.get("/readyz")).status_code == 200


@pytest.fixture
def client(served: Served) -> httpx.AsyncClient:
    served.client.cookies.clear()
    return served.client
