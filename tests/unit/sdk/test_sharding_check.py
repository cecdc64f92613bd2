"""Models that could never be sharded are refused at start, with what to write instead."""

from __future__ import annotations

from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ExcludeConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from millions.errors import NotRoutableError, NotShardableError
from millions.sdk.database import Database
from millions.sdk.identifiers import uuid7
from millions.sdk.sharding import (
    REFERENCE,
    checked_key,
    key_column,
    reference,
    shard_info,
    sharded_by,
    sharding_of,
)
from millions.sdk.sharding_check import check, refusals


def key(**options):
    return sa.Column("owner_id", sa.Uuid, primary_key=True, **options)


def ident(**options):
    return sa.Column("id", sa.Uuid, primary_key=True, **options)


def metadata(*items, info=None, others=()):
    """One table `photos` of `items`, sharded by owner_id unless `info` says otherwise."""
    made = sa.MetaData()
    for name, columns, declared in others:
        sa.Table(name, made, *columns, info=declared)
    sa.Table("photos", made, *items, info=shard_info("owner_id") if info is None else info)
    return made


def users():
    return ("users", [sa.Column("id", sa.Uuid, primary_key=True)], shard_info("id"))


def albums():
    columns = [key(), ident(), sa.Column("title", sa.Text)]
    return ("albums", columns, shard_info("owner_id"))


def countries():
    return ("countries", [sa.Column("code", sa.Text, primary_key=True)], shard_info(REFERENCE))


FINE = {
    "key and id": lambda: metadata(key(), ident()),
    "integer key": lambda: metadata(
        sa.Column("owner_id", sa.BigInteger, primary_key=True, autoincrement=False), ident()
    ),
    "text key": lambda: metadata(sa.Column("owner_id", sa.String(20), primary_key=True)),
    "unique with the key": lambda: metadata(
        key(), ident(), sa.Column("slug", sa.Text), sa.UniqueConstraint("owner_id", "slug")
    ),
    "an index that is not unique": lambda: metadata(
        key(), ident(), sa.Column("slug", sa.Text, index=True)
    ),
    "foreign key to the owner": lambda: metadata(
        key(), ident(), sa.ForeignKeyConstraint(["owner_id"], ["users.id"]), others=[users()]
    ),
    "foreign key with the key": lambda: metadata(
        key(),
        ident(),
        sa.Column("album_id", sa.Uuid),
        sa.ForeignKeyConstraint(["owner_id", "album_id"], ["albums.owner_id", "albums.id"]),
        others=[albums()],
    ),
    "foreign key to reference data": lambda: metadata(
        key(), ident(), sa.Column("code", sa.ForeignKey("countries.code")), others=[countries()]
    ),
    "reference data with an identity": lambda: metadata(
        sa.Column("id", sa.Integer, sa.Identity(), primary_key=True), info=shard_info(REFERENCE)
    ),
    "exclusion with the key": lambda: metadata(
        key(), ident(), sa.Column("n", sa.Integer), ExcludeConstraint(("owner_id", "="), ("n", "="))
    ),
    "an integer that is not counted": lambda: metadata(
        key(), sa.Column("n", sa.Integer, primary_key=True, autoincrement=False)
    ),
}

REFUSED = {
    "undeclared": (lambda: metadata(key(), info={}), "does not say how", "@sharded_by"),
    "no such key": (
        lambda: metadata(ident(), info=shard_info("user_id")),
        "not one of its columns", "one of: id",
    ),
    "no primary key": (
        lambda: metadata(sa.Column("owner_id", sa.Uuid)), "no primary key", "primary_key=True",
    ),
    "reference data without a primary key": (
        lambda: metadata(sa.Column("a", sa.Uuid), info=shard_info(REFERENCE)),
        "no primary key", "primary_key=True",
    ),
    "primary key without the shard key": (
        lambda: metadata(ident(), sa.Column("owner_id", sa.Uuid)),
        "does not contain the shard key owner_id", "PRIMARY KEY \\(owner_id, id\\)",
    ),
    "unique column": (
        lambda: metadata(key(), ident(), sa.Column("slug", sa.Text, unique=True)),
        "unique over \\(slug\\)", "unique over \\(owner_id, slug\\)",
    ),
    "unique constraint": (
        lambda: metadata(
            key(), ident(), sa.Column("a", sa.Text), sa.Column("b", sa.Text),
            sa.UniqueConstraint("a", "b", name="both"),
        ),
        "both is unique over \\(a, b\\)", "reserves the value",
    ),
    "unique index": (
        lambda: metadata(
            key(), ident(), sa.Column("slug", sa.Text), sa.Index("slugs", "slug", unique=True)
        ),
        "index slugs is unique", "owner_id, slug",
    ),
    "unique index over an expression of the key": (
        lambda: metadata(
            sa.Column("owner_id", sa.Text, primary_key=True),
            sa.Index("low", sa.text("lower(owner_id)"), unique=True),
        ),
        "index low is unique", "owner_id",
    ),
    "exclusion without the key": (
        lambda: metadata(key(), ident(), sa.Column("n", sa.Integer), ExcludeConstraint(("n", "="))),
        "ExcludeConstraint", "owner_id, n",
    ),
    "autoincrement": (
        lambda: metadata(
            key(), sa.Column("id", sa.Integer, primary_key=True, autoincrement=True)
        ),
        "numbered by one server", "uuid7",
    ),
    "autoincrement nobody asked for": (
        lambda: metadata(sa.Column("owner_id", sa.Integer, primary_key=True)),
        "numbered by one server", "autoincrement=False",
    ),
    "identity": (
        lambda: metadata(key(), ident(), sa.Column("n", sa.BigInteger, sa.Identity())),
        "column n is numbered", "uuid7",
    ),
    "sequence": (
        lambda: metadata(key(), ident(), sa.Column("n", sa.BigInteger, sa.Sequence("ns"))),
        "column n is numbered", "uuid7",
    ),
    "nextval": (
        lambda: metadata(
            key(), ident(), sa.Column("n", sa.BigInteger, server_default=sa.text("nextval('ns')"))
        ),
        "column n is numbered", "uuid7",
    ),
    "foreign key across keys": (
        lambda: metadata(
            key(), ident(), sa.Column("fan_id", sa.ForeignKey("users.id")), others=[users()]
        ),
        "leads to users, which is split by id", "without a foreign key",
    ),
    "foreign key to the id alone": (
        lambda: metadata(
            key(), ident(), sa.Column("album_id", sa.Uuid),
            sa.ForeignKeyConstraint(["album_id"], ["albums.id"]), others=[albums()],
        ),
        "without tying owner_id to albums.owner_id", "ForeignKeyConstraint",
    ),
    "foreign key to nowhere": (
        lambda: metadata(key(), ident(), sa.Column("a", sa.ForeignKey("nowhere.id"))),
        "nowhere.id, which the metadata does not have", "import the module",
    ),
    "reference data that leads to sharded data": (
        lambda: metadata(
            ident(), sa.Column("user_id", sa.ForeignKey("users.id")),
            info=shard_info(REFERENCE), others=[users()],
        ),
        "reference data with a foreign key to users", "@sharded_by instead",
    ),
    "reference data that leads nowhere": (
        lambda: metadata(
            ident(), sa.Column("a", sa.ForeignKey("nowhere.id")), info=shard_info(REFERENCE)
        ),
        "the metadata does not have", "import the module",
    ),
    "a key of two bytes": (
        lambda: metadata(
            sa.Column("owner_id", sa.SmallInteger, primary_key=True, autoincrement=False)
        ),
        "of type SMALLINT", "BigInteger",
    ),
    "a key of fixed length": (
        lambda: metadata(sa.Column("owner_id", sa.CHAR(3), primary_key=True)),
        "of type CHAR", "Text",
    ),
    "a key of floating point": (
        lambda: metadata(sa.Column("owner_id", sa.Float, primary_key=True)),
        "of type FLOAT", "Uuid",
    ),
    "a key with a language": (
        lambda: metadata(sa.Column("owner_id", sa.Text(collation="de_DE"), primary_key=True)),
        "collation de_DE", "without a collation",
    ),
    "a key that the server computes": (
        lambda: metadata(
            sa.Column("owner_id", sa.Text, sa.Computed("lower(a)"), primary_key=True),
            sa.Column("a", sa.Text),
        ),
        "computed by the server", "set by the application",
    ),
}  # fmt: skip


@pytest.mark.parametrize("made", FINE.values(), ids=FINE)
def test_what_can_be_sharded_is_accepted(made):
    check(made())


@pytest.mark.parametrize(("made", "because", "instead"), REFUSED.values(), ids=REFUSED)
def test_what_could_never_be_sharded_is_refused(made, because, instead):
    with pytest.raises(NotShardableError) as caught:
        Database().declare(made())
    found = list(refusals(made()))
    assert len(found) == 1, found
    assert caught.value.cannot == "shard the table photos"
    assert caught.match(because)
    assert caught.match(f"try: .*{instead}")


def test_everything_is_refused_at_once():
    made = metadata(ident(), sa.Column("owner_id", sa.Uuid), sa.Column("a", sa.Text, unique=True))
    sa.Table("tags", made, ident())
    with pytest.raises(NotShardableError) as caught:
        check(made)
    for each in ("3 things", "photos: its primary key", "photos: .*unique over", "tags: it does"):
        assert caught.match(each)


def test_tables_of_the_sdk_itself_are_not_checked():
    made = sa.MetaData()
    sa.Table("tasks", made, sa.Column("id", sa.Integer, primary_key=True), schema="millions")
    check(made)


def test_a_model_says_its_key_by_column_or_attribute():
    class Base(DeclarativeBase):
        pass

    @sharded_by("owner")
    class Photo(Base):
        __tablename__ = "photos"
        owner: Mapped[UUID] = mapped_column("owner_id", primary_key=True)
        id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)

    @reference
    class Country(Base):
        __tablename__ = "countries"
        code: Mapped[str] = mapped_column(primary_key=True)

    found = key_column(Photo.__table__)
    assert found is not None
    assert found.name == "owner_id"
    assert sharding_of(Country.__table__).column is None
    assert key_column(Country.__table__) is None
    check(Base.metadata)
    with pytest.raises(NotShardableError, match="no such column"):
        sharded_by("user")(Photo)
    with pytest.raises(NotShardableError, match="no table of its own"):
        sharded_by("owner")(Base)
    with pytest.raises(NotShardableError, match="no table of its own"):
        reference(Base)


@pytest.mark.parametrize("good", [UUID(int=7), 7, "a", REFERENCE], ids=repr)
def test_a_key_is_a_uuid_an_int_or_a_str(good):
    assert checked_key(good) is good


@pytest.mark.parametrize("wrong", [None, True, 1.0, b"a", ("a",)], ids=repr)
def test_anything_else_is_no_key(wrong):
    with pytest.raises(NotRoutableError, match="UUID, an int or a str"):
        checked_key(wrong)
