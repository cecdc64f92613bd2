"""What `db.write` and `db.read` cost over the same statements on bare SQLAlchemy async.

Aim: at most 50 µs of CPU a transaction.

    python bench/database.py [--rounds 25] [--operations 200]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from uuid import UUID  # noqa: TC003  # SQLAlchemy reads the annotations

import uvloop
from rounds import Side, measure, report
from sqlalchemy import URL, select, text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from millions.sdk.database import Database
from millions.sdk.identifiers import uuid7
from millions.sdk.sharding import sharded_by
from millions.testing import EmbeddedPostgres, directory_for


class Base(DeclarativeBase):
    pass


@sharded_by("owner_id")
class Photo(Base):
    __tablename__ = "photos"

    owner_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    title: Mapped[str]


OWNER = uuid7()
READ = select(Photo.title).where(Photo.owner_id == OWNER).limit(1)
PING = text("SELECT 1")


class Bare:
    """SQLAlchemy as its documentation shows it."""

    def __init__(self, begin: async_sessionmaker) -> None:
        self.begin = begin

    async def read(self) -> None:
        async with self.begin() as session:
            await session.execute(READ)

    async def write(self) -> None:
        async with self.begin.begin() as session:
            session.add(Photo(owner_id=OWNER, title="a photo"))

    async def write_core(self) -> None:
        async with self.begin.begin() as session:
            await session.execute(PING)


class Ours:
    """The same statements in blocks of `db`."""

    def __init__(self, db: Database) -> None:
        self.db = db

    async def read(self) -> None:
        async with self.db.read(OWNER) as session:
            await session.execute(READ)

    async def write(self) -> None:
        async with self.db.write(OWNER) as session:
            session.add(Photo(owner_id=OWNER, title="a photo"))

    async def write_core(self) -> None:
        async with self.db.write(OWNER) as session:
            await session.execute(PING)

    async def run(self) -> None:
        await self.db.run(OWNER, lambda session: session.execute(PING))

    async def with_hooks(self) -> None:
        async with self.db.write(OWNER) as session:
            session.invalidates("user:7")
            session.after_commit(lambda: None)
            await session.execute(PING)


async def main(rounds: int, operations: int, server: EmbeddedPostgres, folder: Path) -> None:
    place = server.create_database("bench")
    url = URL.create(
        "postgresql+asyncpg",
        username=place.user,
        password=server.password,
        host="127.0.0.1",
        port=server.port,
        database=place.name,
    )
    engine = create_async_engine(url, connect_args={"server_settings": {"jit": "off"}})
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    db = Database()
    db.declare(Base.metadata)
    await db.open(directory_for(place, folder / "stack"))
    bare, ours = Bare(async_sessionmaker(engine, expire_on_commit=False)), Ours(db)
    pairs = {
        title: [Side("bare SQLAlchemy", getattr(bare, title)), Side("db", getattr(ours, title))]
        for title in ("read", "write", "write_core")
    }
    pairs["write_core"] += [Side("db.run", ours.run), Side("db with hooks", ours.with_hooks)]
    for sides in pairs.values():
        await measure(sides, rounds=rounds, operations=operations)
    report("CPU per transaction: db over bare SQLAlchemy async", pairs, "database.json")
    await db.close()
    await engine.dispose()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--operations", type=int, default=200)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir="/tmp") as made:
        Path(made).chmod(0o711)
        postgres = EmbeddedPostgres(Path(made) / "postgres").start()
        try:
            uvloop.run(main(options.rounds, options.operations, postgres, Path(made)))
        finally:
            postgres.remove()
