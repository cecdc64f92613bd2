"""A user's own tests have what they need from the installed package alone."""

import subprocess
import sys
from pathlib import Path

INI = """[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = session
asyncio_default_test_loop_scope = session
filterwarnings = error
"""
CONFTEST = """
import pathlib
import asyncpg
import pytest
from millions.directory import Directory

@pytest.fixture(scope="session")
def millions_prepare():
    async def build(directory: Directory) -> None:
        place = directory.database
        primary = place.shards[0].primary
        connection = await asyncpg.connect(
            host=primary.host, port=primary.port, user=place.user, database=place.name,
            password=pathlib.Path(place.password_file).read_text())
        await connection.execute("CREATE TABLE notes (words text)")
        await connection.close()
    return build
"""
TESTS = """
import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import text
from millions import Millions, cache, db, store, tasks

api = FastAPI()

@api.post("/notes")
async def add(words: str) -> int:
    async with db.write(1) as session:
        await session.execute(text("INSERT INTO notes VALUES (:words)"), {"words": words})
        session.invalidates("count")
    return await count()

@cache.through(key="count", ttl_s=60)
async def count() -> int:
    async with db.read(1) as session:
        return (await session.execute(text("SELECT count(*) FROM notes"))).scalar_one()

@tasks.task
async def later() -> None: ...

app = Millions(api)

@pytest.mark.parametrize("number", range(3))
async def test_each_test_begins_with_empty_tables(millions_nouns, number):
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        assert await count() == 0
        assert (await client.post("/notes", params={"words": "a"})).json() == 1
        headers = {"idempotency-key": "same-in-each-test"}
        for _ in range(2):
            answer = await client.post("/notes", params={"words": "b"}, headers=headers)
            assert answer.json() == 2
        assert await store.get("seen") is None
        await store.put("seen", number)
        await later.enqueue()
"""


def test_a_users_tests_get_a_clean_stack_each(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_notes.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text(INI)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout


def test_the_plugin_starts_nothing_that_is_not_asked_for(tmp_path: Path) -> None:
    (tmp_path / "test_nothing.py").write_text(
        "import sys\ndef test_it():\n    assert 'sqlalchemy' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--durations=0"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "postgres" not in done.stdout
