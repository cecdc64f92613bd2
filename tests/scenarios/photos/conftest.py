"""The photo-sharing application as real processes: PostgreSQL, its web server, and browsers."""

import asyncio
import os
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from photos_stage import (
    CELEBRITY_FOLLOWERS,
    CHROMIUM,
    FOLDER,
    PASSWORD,
    SPREAD_BATCH,
    STARTS_WITHIN_S,
    STOPS_WITHIN_S,
    Member,
    Watched,
    a_handle,
)
from playwright.async_api import Browser, async_playwright

from millions.sdk.assets import build
from millions.testing import EmbeddedPostgres, directory_for

if str(FOLDER) not in sys.path:
    sys.path.insert(0, str(FOLDER))


@pytest.fixture(scope="session")
def photos_environment(
    millions_postgres: EmbeddedPostgres, millions_folder: Path
) -> dict[str, str]:
    """The environment of a stack that has a database and assets of its own, with its tables."""
    folder = millions_folder / "photos"
    place = millions_postgres.create_database(f"photos_{secrets.token_hex(4)}")
    directory = directory_for(place, folder, run_tasks=True)
    document = folder / "directory.json"
    document.write_text(directory.text())
    build(FOLDER / "static", Path(directory.assets.folder))
    environment = {
        **os.environ,
        "MILLIONS_DIRECTORY": str(document),
        "PYTHONPATH": os.pathsep.join([str(FOLDER), os.environ.get("PYTHONPATH", "")]),
        "PHOTOS_CELEBRITY_FOLLOWERS": str(CELEBRITY_FOLLOWERS),
        "PHOTOS_SPREAD_BATCH": str(SPREAD_BATCH),
        "PHOTOS_ATTEMPTS_PER_ADDRESS": "10000",
    }
    migrate = [sys.executable, "-m", "alembic", "upgrade", "head"]
    subprocess.run(migrate, cwd=FOLDER, env=environment, check=True, capture_output=True)
    return environment


@pytest.fixture(scope="session")
def photos_site(photos_environment: dict[str, str], millions_folder: Path) -> Iterator[str]:
    """The address of the running application; it must have logged no error in the end."""
    log = millions_folder / "photos" / "web.log"
    with (
        socket.create_server(("127.0.0.1", 0), backlog=256) as listener,
        free_port() as private,
        log.open("w") as output,
    ):
        server = subprocess.Popen(
            [sys.executable, "-m", "millions.sdk.server", "photos.web:app"],
            cwd=FOLDER,
            env={
                **photos_environment,
                "MILLIONS_LISTEN_FD": str(listener.fileno()),
                "MILLIONS_PRIVATE": f"127.0.0.1:{private}",
            },
            pass_fds=[listener.fileno()],
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            wait_until_ready(url, server, log)
            yield url
        finally:
            server.terminate()
            server.wait(STOPS_WITHIN_S)
    said = log.read_text()
    wrong = [each for each in said.splitlines() if '"level":"error"' in each or "Traceback" in each]
    assert wrong == [], said[-20_000:]


class free_port:  # noqa: N801  # reads as what it gives
    """A port that nobody else takes while it is looked for."""

    def __enter__(self) -> int:
        with socket.create_server(("127.0.0.1", 0)) as found:
            return found.getsockname()[1]

    def __exit__(self, *_: object) -> None:
        return


def wait_until_ready(url: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    """Ask for readiness; the connection waits in the backlog until the server takes it."""
    transport = httpx.HTTPTransport(retries=3)
    with httpx.Client(transport=transport, timeout=STARTS_WITHIN_S) as client:
        try:
            answer = client.get(f"{url}/readyz")
        except httpx.HTTPError:
            answer = None
    if answer is None or answer.status_code != 200:
        server.kill()
        server.wait()
        raise AssertionError(f"the application did not start:\n{log.read_text()[-4000:]}")


NewMember = Callable[..., Awaitable[Member]]


@pytest_asyncio.fixture(loop_scope="session")
async def new_member(photos_site: str) -> AsyncIterator[NewMember]:
    """Make accounts: `ada = await new_member("Ada Byron")`."""
    clients: list[httpx.AsyncClient] = []

    async def make(name: str = "Somebody", handle: str | None = None) -> Member:
        client = httpx.AsyncClient(base_url=photos_site, timeout=30)
        clients.append(client)
        handle = handle or a_handle()
        given = {"name": name, "handle": handle, "password": PASSWORD}
        answer = await client.post("/api/people", json=given)
        assert answer.status_code == 201, answer.text
        client.headers["X-CSRF-Token"] = answer.json()["csrf_token"]
        return Member(client, handle, answer.json()["me"]["id"], name)

    yield make
    await asyncio.gather(*(each.aclose() for each in clients))


@pytest_asyncio.fixture(loop_scope="session")
async def visitor(photos_site: str) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody without an account."""
    async with httpx.AsyncClient(base_url=photos_site, timeout=30) as client:
        yield client


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """A real Chromium. Skips where there is none, fails when `CI` is set."""
    if shutil.which(CHROMIUM) is None:
        if os.environ.get("CI"):
            raise AssertionError(f"there is no {CHROMIUM}")
        pytest.skip(f"there is no {CHROMIUM}")
    flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def new_page(photos_site: str, chromium: Browser) -> AsyncIterator[Watched]:
    """Open browsers of their own; none may have asked another machine for anything."""
    watched = Watched(photos_site, chromium)
    yield watched
    for context in watched.contexts:
        await context.close()
    assert watched.requests
    assert watched.elsewhere() == []
    assert watched.complaints == []
