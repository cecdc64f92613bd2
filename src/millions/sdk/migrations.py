"""Alembic on the database of the directory: what an application's `env.py` calls.

It never makes or changes a migration, and keeps Alembic away from the SDK's own schema.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from alembic import context
from millions import directory as directories
from millions.errors import DirectoryError
from millions.sdk import driver, sharding_check
from millions.sdk.schema import NAME as OWN_SCHEMA

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    import asyncpg
    from sqlalchemy import Connection, MetaData
    from sqlalchemy.ext.asyncio import AsyncEngine

    from millions.directory import Directory

LOCK = 0x4D49475241544530
"""The advisory lock that one migration holds at a time ("MIGRATE0" in ASCII)."""

LOCK_LIMIT = "10s"
"""A migration that waits for a table longer than this gives up: behind it every request waits."""

ENV_PY = '''\
"""Alembic's environment: on the database of the stack, `millions run alembic upgrade head`."""

from millions.sdk import migrations

from {package}.models import Base

migrations.run(Base.metadata)
'''
"""The `env.py` of an application whose models are in `{package}.models`."""

SCRIPT_PY_MAKO = '''\
"""${message}

Revision ID: ${up_revision}
Revises: ${down_revision | comma,n}
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}
revision: str = ${repr(up_revision)}
down_revision: str | Sequence[str] | None = ${repr(down_revision)}
branch_labels: str | Sequence[str] | None = ${repr(branch_labels)}
depends_on: str | Sequence[str] | None = ${repr(depends_on)}


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
'''
"""Alembic's template for one migration."""

ALEMBIC_INI = """\
[alembic]
script_location = %(here)s/migrations
prepend_sys_path = %(here)s
"""


def run(metadata: MetaData, **options: Any) -> None:
    """Run what the `alembic` command asks for; call it at the end of `env.py`. Blocks.

    `options` go to `context.configure`. Raise NotShardableError before anything is changed.
    """
    sharding_check.check(metadata)
    if context.is_offline_mode():
        context.configure(
            dialect_name="postgresql", target_metadata=metadata, include_name=include_name,
            include_schemas=True, literal_binds=True, **options,
        )  # fmt: skip
        with context.begin_transaction():
            context.run_migrations()
        return
    asyncio.run(_run(metadata, options))


def engine(directory: Directory | None = None) -> AsyncEngine:
    """Make an engine for migrations: no pool, and no bound on how long a statement runs."""
    place = (directory or _directory()).database
    home = place.shards[0]
    settings = {"application_name": "millions migration", "lock_timeout": LOCK_LIMIT}

    async def opened(**_: object) -> asyncpg.Connection[Any]:
        return await driver.connect_to_primary(place, home, settings)

    return create_async_engine(driver.URL, async_creator=opened, poolclass=NullPool)


def include_name(name: str | None, kind: str, parents: MutableMapping[Any, str | None]) -> bool:
    """Say whether autogenerate may look at this: everything but the SDK's own schema."""
    if kind == "schema":
        return name != OWN_SCHEMA
    return parents.get("schema_name") != OWN_SCHEMA


def configure(connection: Connection, metadata: MetaData, **options: Any) -> None:
    """Configure Alembic's context for `connection`, without the SDK's own schema."""
    settings: dict[str, Any] = {
        "include_schemas": True,
        "include_name": include_name,
        "compare_type": True,
        "compare_server_default": True,
        **options,
    }
    context.configure(connection=connection, target_metadata=metadata, **settings)


async def _run(metadata: MetaData, options: dict[str, Any]) -> None:
    made = engine()
    try:
        async with made.connect() as connection:
            await connection.run_sync(_migrate, metadata, options)
            await connection.commit()
    finally:
        await made.dispose()


def _migrate(connection: Connection, metadata: MetaData, options: dict[str, Any]) -> None:
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK})")
    configure(connection, metadata, **options)
    with context.begin_transaction():
        context.run_migrations()


def _directory() -> Directory:
    path = os.environ.get(directories.ENVIRONMENT_VARIABLE)
    if not path:
        raise DirectoryError(
            cannot="find the database to migrate",
            because=f"{directories.ENVIRONMENT_VARIABLE} is not set",
            try_="millions run alembic upgrade head",
        )
    return directories.read(path)
