"""What is kept, and by which key it can be split: every table says so from the first day.

A person and all that belongs to them live on the shard of the person's id. What two people share
(a follow) is kept twice, once by each side's key; likes and comments live with the photo's owner.
"""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar
from uuid import UUID  # noqa: TC003  # SQLAlchemy reads it from the annotations

from sqlalchemy import (
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    MetaData,
    String,
    func,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from millions import db, sharded_by

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """The declarative base; times have a zone, ids are UUIDs that sort by time."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map: ClassVar = {datetime: DateTime(timezone=True)}


@sharded_by("handle")
class Handle(Base):
    """Who owns a handle: the one place where handles are unique, split by the handle itself."""

    __tablename__ = "handles"

    handle: Mapped[str] = mapped_column(String(30), primary_key=True)
    user_id: Mapped[UUID]
    claimed_at: Mapped[datetime] = mapped_column(server_default=func.now())


@sharded_by("id")
class User(Base):
    """A person. `words` is what search looks through; the counts follow their tables exactly."""

    __tablename__ = "users"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    handle: Mapped[str] = mapped_column(String(30))
    name: Mapped[str] = mapped_column(String(60))
    bio: Mapped[str] = mapped_column(String(300), server_default="")
    words: Mapped[str] = mapped_column(String(200))
    photos: Mapped[int] = mapped_column(server_default=text("0"))
    followers: Mapped[int] = mapped_column(server_default=text("0"))
    following: Mapped[int] = mapped_column(server_default=text("0"))
    celebrity_since: Mapped[datetime | None]
    deleted_at: Mapped[datetime | None]
    joined_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (
        Index("ix_users_words", text("to_tsvector('simple', words)"), postgresql_using="gin"),
        Index("ix_users_followers", text("followers DESC")),
        Index("ix_users_celebrities", "id", postgresql_where=text("celebrity_since IS NOT NULL")),
    )


@sharded_by("user_id")
class Credential(Base):
    """A password's hash, apart from the row that every page reads."""

    __tablename__ = "credentials"

    user_id: Mapped[UUID] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True
    )
    password_hash: Mapped[str] = mapped_column(String(200))
    changed_at: Mapped[datetime] = mapped_column(server_default=func.now())


@sharded_by("owner_id")
class Photo(Base):
    """A picture; its id is its time. It is shown to others once `ready_at` is set."""

    __tablename__ = "photos"

    owner_id: Mapped[UUID] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True
    )
    id: Mapped[UUID] = mapped_column(primary_key=True)
    caption: Mapped[str] = mapped_column(String(500), server_default="")
    width: Mapped[int]
    height: Mapped[int]
    colour: Mapped[str] = mapped_column(String(7))
    likes: Mapped[int] = mapped_column(server_default=text("0"))
    comments: Mapped[int] = mapped_column(server_default=text("0"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    ready_at: Mapped[datetime | None]

    __table_args__ = (
        Index("ix_photos_ready", text("id DESC"), postgresql_where=text("ready_at IS NOT NULL")),
    )


@sharded_by("follower_id")
class Following(Base):
    """A follow as the follower sees it: the truth. `version` rises with every change of mind."""

    __tablename__ = "following"

    follower_id: Mapped[UUID] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True
    )
    followed_id: Mapped[UUID] = mapped_column(primary_key=True)
    active: Mapped[bool]
    version: Mapped[int]
    changed_at: Mapped[datetime] = mapped_column(server_default=func.now())


@sharded_by("user_id")
class Follower(Base):
    """The same follow at the side of who is followed, written by a task; newer versions win."""

    __tablename__ = "followers"

    user_id: Mapped[UUID] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True
    )
    follower_id: Mapped[UUID] = mapped_column(primary_key=True)
    active: Mapped[bool]
    version: Mapped[int]
    changed_at: Mapped[datetime] = mapped_column(server_default=func.now())


@sharded_by("owner_id")
class Like(Base):
    """That somebody likes a photo: there once or not at all."""

    __tablename__ = "likes"

    owner_id: Mapped[UUID] = mapped_column(primary_key=True)
    photo_id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(primary_key=True, index=True)
    at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (
        ForeignKeyConstraint(
            ["owner_id", "photo_id"], ["photos.owner_id", "photos.id"], ondelete="CASCADE"
        ),
    )


@sharded_by("owner_id")
class Comment(Base):
    """What somebody said under a photo; its id is its time."""

    __tablename__ = "comments"

    owner_id: Mapped[UUID] = mapped_column(primary_key=True)
    photo_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    author_id: Mapped[UUID] = mapped_column(index=True)
    text: Mapped[str] = mapped_column(String(1000))
    at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (
        ForeignKeyConstraint(
            ["owner_id", "photo_id"], ["photos.owner_id", "photos.id"], ondelete="CASCADE"
        ),
    )


db.declare(Base.metadata)
