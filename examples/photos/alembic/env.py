"""Run migrations on the database of the stack, through the SDK: in one transaction, or none."""

import asyncio

from millions.sdk.nouns import running
from sqlalchemy import Connection, text

from alembic import context
from millions import db
from millions.sdk.sharding import REFERENCE
from photos.models import Base

LOCK = 0x70686F74
"""Two releases that start at the same moment migrate one after the other."""


def migrate(connection: Connection) -> None:
    connection.execute(text(f"SELECT pg_advisory_xact_lock({LOCK})"))
    context.configure(connection=connection, target_metadata=Base.metadata, compare_type=True)
    with context.begin_transaction():
        context.run_migrations()


async def upgrade() -> None:
    async with running(), db.write(REFERENCE) as session:
        connection = await session.connection()
        await connection.run_sync(migrate)


if context.is_offline_mode():
    context.configure(dialect_name="postgresql", target_metadata=Base.metadata)
    with context.begin_transaction():
        context.run_migrations()
else:
    asyncio.run(upgrade())
