"""Alembic runs on the directory's database and never sees the SDK's own tables."""

from __future__ import annotations

import asyncio
import os
import sys

from millions.sdk import migrations, schema

MODELS = """
from uuid import UUID
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from millions.sdk.identifiers import uuid7
from millions.sdk.sharding import {decorator}

class Base(DeclarativeBase):
    pass

@{decorator}
class Album(Base):
    __tablename__ = "albums"
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    title: Mapped[str]
"""


def lay_out(folder, directory, decorator):
    (folder / "shop").mkdir()
    (folder / "shop" / "__init__.py").touch()
    (folder / "shop" / "models.py").write_text(
        MODELS.replace("@{decorator}", f"@{decorator}").replace(
            "import {decorator}", f"import {decorator.partition('(')[0]}"
        )
    )
    (folder / "migrations" / "versions").mkdir(parents=True)
    (folder / "migrations" / "env.py").write_text(migrations.ENV_PY.format(package="shop"))
    (folder / "migrations" / "script.py.mako").write_text(migrations.SCRIPT_PY_MAKO)
    (folder / "alembic.ini").write_text(migrations.ALEMBIC_INI)
    document = folder / "directory.json"
    document.write_text(directory.text())
    return document


async def alembic(folder, document, *words):
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "alembic", *words),
        cwd=folder,
        env={**os.environ, "MILLIONS_DIRECTORY": str(document)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode, output.decode()


async def test_a_migration_is_written_run_and_then_nothing_is_left_to_do(
    millions_directory, witness, tmp_path
):
    await witness.execute("DROP TABLE photos, countries, drafts")
    await schema.ensure(witness, ("CREATE TABLE millions.own (a int)",))
    document = lay_out(tmp_path, millions_directory, 'sharded_by("id")')
    code, output = await alembic(tmp_path, document, "revision", "--autogenerate", "-m", "first")
    assert code == 0, output
    (version,) = (tmp_path / "migrations" / "versions").glob("*.py")
    written = version.read_text()
    assert "albums" in written
    assert "schema=" not in written, "a table of the SDK is in the migration"
    code, output = await alembic(tmp_path, document, "upgrade", "head")
    assert code == 0, output
    assert await witness.fetchval("SELECT to_regclass('albums')") == "albums"
    code, output = await alembic(tmp_path, document, "check")
    assert code == 0, output
    assert "No new upgrade operations detected" in output
    code, output = await alembic(tmp_path, document, "upgrade", "head", "--sql")
    assert code == 0, output
    assert "CREATE TABLE albums" in output


async def test_models_that_could_never_be_sharded_are_not_migrated(
    millions_directory, witness, tmp_path
):
    document = lay_out(tmp_path, millions_directory, 'sharded_by("title")')
    code, output = await alembic(tmp_path, document, "revision", "--autogenerate", "-m", "first")
    assert code != 0
    assert "does not contain the shard key title" in output
    assert not list((tmp_path / "migrations" / "versions").glob("*.py"))


async def test_without_a_directory_it_says_how_to_run_alembic(tmp_path, millions_directory):
    lay_out(tmp_path, millions_directory, 'sharded_by("id")')
    code, output = await alembic(tmp_path, "", "upgrade", "head")
    assert code != 0
    assert "try: millions run alembic upgrade head" in output
