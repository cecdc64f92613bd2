"""The tables that the laws of `db` are tried on."""

from __future__ import annotations

from uuid import UUID  # noqa: TC003  # SQLAlchemy reads the annotations

from sqlalchemy import BigInteger, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from millions.sdk.identifiers import uuid7
from millions.sdk.sharding import reference, sharded_by


class Base(DeclarativeBase):
    pass


@sharded_by("owner_id")
class Photo(Base):
    __tablename__ = "photos"

    owner_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    title: Mapped[str] = mapped_column(Text, default="")
    views: Mapped[int] = mapped_column(BigInteger, default=0)


@reference
class Country(Base):
    __tablename__ = "countries"

    code: Mapped[str] = mapped_column(Text, primary_key=True)


class Draft(Base):
    """Not declared: the check at start refuses it, so no law of a shard holds for it."""

    __tablename__ = "drafts"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
