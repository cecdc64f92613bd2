"""asyncpg or psycopg 3? CPU per transaction of the same SQLAlchemy statements. See decision 0002.

python bench/driver.py [--rounds 25] [--operations 200]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from uuid import UUID, uuid4

import uvloop
from rounds import Side, measure, report
from sqlalchemy import URL, select, update
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from millions.testing import EmbeddedPostgres


class Base(DeclarativeBase):
    pass


class Photo(Base):
    __tablename__ = "photos"

    owner_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    title: Mapped[str]
    views: Mapped[int] = mapped_column(default=0)


OWNER = uuid4()


class Work:
    """The same three transactions on one engine."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.begin = async_sessionmaker(engine, expire_on_commit=False)

    async def read_one(self) -> None:
        async with self.begin() as session:
            await session.execute(select(Photo.title).where(Photo.owner_id == OWNER).limit(1))

    async def read_fifty(self) -> None:
        async with self.begin() as session:
            (await session.scalars(select(Photo).where(Photo.owner_id == OWNER).limit(50))).all()

    async def write(self) -> None:
        async with self.begin.begin() as session:
            photo = Photo(owner_id=uuid4(), title="a photo")
            session.add(photo)
            await session.flush()
            await session.execute(
                update(Photo)
                .where(Photo.owner_id == photo.owner_id, Photo.id == photo.id)
                .values(views=1)
            )


async def main(rounds: int, operations: int, server: EmbeddedPostgres) -> None:
    place = server.create_database("bench")
    engines: dict[str, AsyncEngine] = {
        driver: create_async_engine(
            URL.create(
                f"postgresql+{driver}",
                username=place.user,
                password=server.password,
                host="127.0.0.1",
                port=server.port,
                database=place.name,
            )
        )
        for driver in ("asyncpg", "psycopg")
    }
    works = {name: Work(engine) for name, engine in engines.items()}
    async with engines["asyncpg"].begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with works["asyncpg"].begin.begin() as session:
        session.add_all([Photo(owner_id=OWNER, title=f"photo {n}") for n in range(50)])
    groups = {
        title: [Side(name, getattr(work, title)) for name, work in works.items()]
        for title in ("read_one", "read_fifty", "write")
    }
    for sides in groups.values():
        await measure(sides, rounds=rounds, operations=operations)
    report("CPU per transaction by driver (SQLAlchemy async)", groups, "driver.json")
    for engine in engines.values():
        await engine.dispose()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--operations", type=int, default=200)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o711)
        postgres = EmbeddedPostgres(Path(folder) / "postgres").start()
        try:
            uvloop.run(main(options.rounds, options.operations, postgres))
        finally:
            postgres.remove()
