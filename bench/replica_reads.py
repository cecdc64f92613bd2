"""What `db.read` costs where a shard has replicas, and how many reads they take over.

The same reads in requests: with no replica, with replicas but all on the primary, with one and with
two replicas. Aims: at most 30 µs of CPU a read more than on the primary, 90 % of the reads and more
on replicas, and nothing older than what the user wrote in 100,000 reads that are checked.

    python bench/replica_reads.py [--rounds 25] [--operations 200] [--checked 100000]
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import tempfile
import time
from collections import Counter
from pathlib import Path
from uuid import UUID  # noqa: TC003  # SQLAlchemy reads the annotations

import uvloop
from rounds import RESULTS, Side, measure, report
from sqlalchemy import func, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from millions.sdk import position
from millions.sdk.database import Database
from millions.sdk.identifiers import uuid7
from millions.sdk.position import Seen
from millions.sdk.sharding import sharded_by
from millions.testing import directory_for, eventually
from millions.testing.streaming import StreamingPostgres

USERS = 16
PAUSE_S = 0.005
"""Between two requests of one user."""

READS_PER_WRITE = 9


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
PORT = text("SELECT inet_server_port()")


class Reads:
    """One read in a request of its own, as a web page makes it."""

    def __init__(self, db: Database, **how: bool) -> None:
        self.db = db
        self.how = how

    async def __call__(self) -> None:
        token = position.current.set(Seen())
        async with self.db.read(OWNER, **self.how) as session:
            await session.execute(READ)
        position.current.reset(token)

    async def port(self) -> int:
        token = position.current.set(Seen())
        async with self.db.read(OWNER, **self.how) as session:
            found = await session.scalar(PORT)
        position.current.reset(token)
        return int(found)


async def opened(directory, replicas: int | None) -> Database:
    """`db` on the first `replicas` of the shard's replicas; None: as on rung 1."""
    place = directory.database
    shard = dataclasses.replace(place.shards[0], replicas=place.shards[0].replicas[: replicas or 0])
    db = Database(settle_s=0.1)
    await db.open(
        dataclasses.replace(directory, database=dataclasses.replace(place, shards=(shard,)))
    )
    if replicas:
        wanted = {each.port for each in shard.replicas}
        asked: set[int] = set()

        async def read_from_all() -> bool:
            asked.add(await Reads(db).port())
            return wanted <= asked

        await eventually(read_from_all)
    return db


class Checked:
    """Users who write and read; each read must show all that its user wrote."""

    def __init__(self, db: Database, reads: int) -> None:
        self.db = db
        self.left = reads
        self.stale = 0
        self.ports: Counter[int] = Counter()

    async def user(self) -> None:
        owner, cookie, written = uuid7(), "", 0
        while self.left > 0:
            cookie = await self.request(self.write(owner), cookie)
            written += 1
            for _ in range(READS_PER_WRITE):
                self.left -= 1
                cookie = await self.request(self.read(owner, written), cookie)
                await asyncio.sleep(PAUSE_S)

    async def request(self, work, cookie: str) -> str:
        seen = position.parse(cookie)
        token = position.current.set(seen)
        await work
        position.current.reset(token)
        return seen.text()

    async def write(self, owner: UUID) -> None:
        async with self.db.write(owner) as session:
            session.add(Photo(owner_id=owner, title="a photo"))

    async def read(self, owner: UUID, written: int) -> None:
        async with self.db.read(owner) as session:
            found = await session.scalar(
                select(func.count()).select_from(Photo).where(Photo.owner_id == owner)
            )
            self.ports[await session.scalar(PORT)] += 1
        self.stale += found != written


async def main(options: argparse.Namespace, servers: StreamingPostgres, folder: Path) -> None:
    directory = directory_for(servers.create_database("bench"), folder / "stack")
    alone = await opened(directory, None)
    async with alone.write(OWNER) as session:
        connection = await session.connection()
        await connection.run_sync(Base.metadata.create_all)
    servers.wait_replayed()
    one, two = await opened(directory, 1), await opened(directory, 2)
    sides = [
        Side("2 replicas, on the primary", Reads(two, primary=True)),
        Side("2 replicas", Reads(two)),
        Side("1 replica", Reads(one)),
        Side("no replica (rung 1)", Reads(alone)),
    ]
    await measure(sides, rounds=options.rounds, operations=options.operations)
    report("CPU per read in a request, by where it goes", {"read": sides}, "replica_reads.json")
    servers.synchronous()
    began_s = time.perf_counter()
    checked = Checked(two, options.checked)
    await asyncio.gather(*(checked.user() for _ in range(USERS)))
    total = checked.ports.total()
    off = total - checked.ports[servers.primary.port]
    rate = total / (time.perf_counter() - began_s)
    print(f"{total} checked reads, {rate:.0f}/s: {off / total:.1%} on replicas", end="")
    print(f", {checked.stale} stale")
    file = RESULTS / "replica_reads.json"
    document = json.loads(file.read_text())
    document["checked"] = {"reads": total, "on_replicas": off, "stale": checked.stale, "rate": rate}
    file.write_text(json.dumps(document, indent=1) + "\n")
    for db in (alone, one, two):
        await db.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--operations", type=int, default=200)
    parser.add_argument("--checked", type=int, default=100_000)
    with tempfile.TemporaryDirectory(dir="/tmp") as made:
        Path(made).chmod(0o711)
        streaming = StreamingPostgres(Path(made) / "servers").start()
        try:
            uvloop.run(main(parser.parse_args(), streaming, Path(made)))
        finally:
            streaming.remove()
