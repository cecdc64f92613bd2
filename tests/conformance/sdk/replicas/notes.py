"""One table, and what the laws write and read in it."""

from __future__ import annotations

from uuid import UUID  # noqa: TC003  # SQLAlchemy reads the annotations

from sqlalchemy import Text, func, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from millions.sdk.identifiers import uuid7
from millions.sdk.sharding import sharded_by


class Base(DeclarativeBase):
    pass


@sharded_by("owner_id")
class Note(Base):
    __tablename__ = "notes"

    owner_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    words: Mapped[str] = mapped_column(Text, default="")


async def write(db, owner, words="a"):
    async with db.write(owner) as session:
        session.add(Note(words=words))


async def count(db, owner, **how):
    async with db.read(owner, **how) as session:
        found = await session.scalar(
            select(func.count()).select_from(Note).where(Note.owner_id == owner)
        )
    return int(found)


async def port(db, owner, **how):
    """Read once; answer the port of the server that answered."""
    async with db.read(owner, **how) as session:
        return int(await session.scalar(text("SELECT inet_server_port()")))
