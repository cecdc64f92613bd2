"""The photo-sharing application as real processes: PostgreSQL, its web server, and browsers."""

import asyncio
import os
import secrets
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from photos_server import prepared, serving
from photos_stage import CHROMIUM, FOLDER, PASSWORD, Member, Watched, a_handle
from playwright.async_api import Browser, async_playwright, expect

from millions.testing import EmbeddedPostgres

if str(FOLDER) not in sys.path:
    sys.path.insert(0, str(FOLDER))
expect.set_options(timeout=30_000)  # a browser on a busy machine


@pytest.fixture(scope="session")
def photos_environment(
    millions_postgres: EmbeddedPostgres, millions_folder: Path
) -> dict[str, str]:
    """The environment of a stack with a database of its own."""
    place = millions_postgres.create_database(f"photos_{secrets.token_hex(4)}")
    return prepared(place, millions_folder / "photos")


@pytest.fixture(scope="session")
def photos_site(photos_environment: dict[str, str], millions_folder: Path) -> Iterator[str]:
    """The address of the running application; it must have logged no error in the end."""
    log = millions_folder / "photos" / "web.log"
    with serving(photos_environment, log) as url:
        yield url
    said = log.read_text()
    wrong = [each for each in said.splitlines() if '"level":"error"' in each or "Traceback" in each]
    assert wrong == [], said[-20_000:]


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
