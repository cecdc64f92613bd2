"""Pytest fixtures: a stack for the session, a clean database for each test.

They start nothing before a test asks for them, and stop, by pid, whatever they started.

    async def test_sign_up(millions_nouns):
        async with millions_nouns.db.write(user_id) as session: ...

They are fixtures of pytest-asyncio; let it use one event loop for the session:

    [tool.pytest.ini_options]
    asyncio_mode = "auto"
    asyncio_default_fixture_loop_scope = "session"
    asyncio_default_test_loop_scope = "session"

Override `millions_prepare` to build your own tables once; each test then gets a copy of them.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from millions.directory import (
    AssetsPlace,
    CachePlace,
    DatabasePlace,
    Directory,
    FilesPlace,
    TasksPlace,
)
from millions.errors import MachineError
from millions.testing.postgres import EmbeddedPostgres

Prepare = Callable[[Directory], Awaitable[None]]
"""What builds the tables of the user's application in the database that each test copies."""

TRAVERSABLE = 0o711
"""PostgreSQL runs as another user when tests run as root: it must reach its data folder."""


@pytest.fixture(scope="session")
def millions_folder() -> Iterator[Path]:
    """A short folder for this session, erased at its end."""
    folder = Path(tempfile.mkdtemp(prefix="millions-test-", dir="/tmp"))
    folder.chmod(TRAVERSABLE)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def millions_postgres(millions_folder: Path) -> Iterator[EmbeddedPostgres]:
    """A real PostgreSQL for the session. Skips where it cannot be had, fails when `CI` is set."""
    server = EmbeddedPostgres(millions_folder / "postgres")
    try:
        server.start()
    except MachineError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    yield server
    server.remove()


@pytest.fixture(scope="session")
def millions_prepare() -> Prepare | None:
    """Nothing; override it with an async function that builds your tables, given a Directory."""
    return None


@pytest.fixture(scope="session")
def millions_templates() -> dict[Prepare, str]:
    """The databases made so far, by what built them: each folder of tests may have its own."""
    return {}


@pytest_asyncio.fixture(loop_scope="session")
async def millions_template(
    millions_postgres: EmbeddedPostgres,
    millions_folder: Path,
    millions_prepare: Prepare | None,
    millions_templates: dict[Prepare, str],
) -> str:
    """The name of the database that this test's database is a copy of."""
    if millions_prepare is None:
        return "template1"
    if millions_prepare not in millions_templates:
        name = f"template_{secrets.token_hex(4)}"
        directory = directory_for(millions_postgres.create_database(name), millions_folder / name)
        await millions_prepare(directory)
        millions_templates[millions_prepare] = name
    return millions_templates[millions_prepare]


@pytest.fixture
def millions_directory(
    millions_postgres: EmbeddedPostgres, millions_template: str, tmp_path: Path
) -> Iterator[Directory]:
    """A Directory with a clean database of its own; dropped after the test."""
    name = f"test_{secrets.token_hex(6)}"
    place = millions_postgres.create_database(name, template=millions_template)
    yield directory_for(place, tmp_path / "stack")
    millions_postgres.drop_database(name)


@pytest_asyncio.fixture
async def millions_nouns(millions_directory: Directory) -> AsyncIterator[Any]:
    """The nouns (`millions_nouns.db`, `.cache`, …), open on `millions_directory`; no task runs."""
    nouns = import_module("millions.sdk.nouns")
    await nouns.open_all(millions_directory, run_tasks=False)
    yield nouns
    await nouns.close_all()


def directory_for(place: DatabasePlace, folder: Path, *, run_tasks: bool = False) -> Directory:
    """A Directory as `millions up` would write it, with its secret and files below `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    secret = folder / "secret"
    if not secret.exists():
        secret.touch(mode=0o600)
        secret.write_text(secrets.token_urlsafe(32))
    for name in ("files", "assets"):
        (folder / name).mkdir(exist_ok=True)
    return Directory(
        epoch=1,
        stack="test",
        release="r1-test",
        secret_file=str(secret),
        database=place,
        files=FilesPlace(folder=str(folder / "files"), max_mib=8),
        cache=CachePlace(memory_mib=8),
        tasks=TasksPlace(embedded=run_tasks, concurrency=4),
        assets=AssetsPlace(folder=str(folder / "assets")),
    )
