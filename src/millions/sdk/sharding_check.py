"""Refuse, when the application starts, what could never be sharded; say what to write instead.

Pure: it reads SQLAlchemy's metadata and connects to nothing. Source: what hash partitions of
PostgreSQL can hold (unique constraints must contain the partition key), and what a move of rows
between servers can keep (no counter lives on one server, no foreign key leaves a shard).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ExcludeConstraint
from sqlalchemy.exc import SQLAlchemyError

from millions.errors import NotShardableError
from millions.sdk.schema import NAME as OWN_SCHEMA
from millions.sdk.sharding import key_column, sharding_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sqlalchemy import Column, ForeignKeyConstraint, MetaData, Table

KEY_TYPES = (sa.Integer, sa.Uuid, sa.String)
"""Types of a shard key whose hash is the same in PostgreSQL and in the SDK."""

REFUSED_KEY_TYPES = (sa.SmallInteger, sa.CHAR, sa.Enum)
"""Subclasses of the above that hash differently, or whose values are few."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """One thing that could never be sharded: where, why, and what to write instead."""

    table: str
    because: str
    instead: str


def check(metadata: MetaData) -> None:
    """Raise NotShardableError naming everything in `metadata` that could never be sharded."""
    found = tuple(refusals(metadata))
    if not found:
        return
    if len(found) == 1:
        only = found[0]
        raise NotShardableError(
            cannot=f"shard the table {only.table}", because=only.because, try_=only.instead
        )
    lines = "".join(f"\n    {each.table}: {each.because}" for each in found)
    instead = "".join(f"\n    {each.table}: {each.instead}" for each in found)
    raise NotShardableError(
        cannot="shard the models", because=f"{len(found)} things:{lines}", try_=instead
    )


def refusals(metadata: MetaData) -> Iterator[Refusal]:
    """Everything in `metadata` that could never be sharded, table by table."""
    for table in metadata.tables.values():
        if table.schema != OWN_SCHEMA:
            yield from _of_table(table)


def _of_table(table: Table) -> Iterator[Refusal]:
    sharding = sharding_of(table)
    if sharding is None:
        yield _refusal(
            table,
            "it does not say how it is split",
            '@sharded_by("owner_id") on the model (for a Table: info=shard_info("owner_id")), '
            "or @reference for small data that is the same everywhere",
        )
        return
    if not table.primary_key.columns:
        yield _refusal(
            table,
            "it has no primary key, and a row without one cannot be moved",
            "id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)",
        )
    if sharding.column is None:
        yield from _foreign_keys_of_reference(table)
        return
    key = key_column(table)
    if key is None:
        yield _refusal(
            table,
            f"its shard key {sharding.column!r} is not one of its columns",
            f"one of: {', '.join(table.columns.keys())}",
        )
        return
    yield from _of_sharded_table(table, key)


def _of_sharded_table(table: Table, key: Column[Any]) -> Iterator[Refusal]:
    yield from _key_type(table, key)
    yield from _primary_key(table, key)
    yield from _unique(table, key)
    yield from _counters(table)
    for constraint in _foreign_keys(table):
        yield from _foreign_key(table, key, constraint)


def _key_type(table: Table, key: Column[Any]) -> Iterator[Refusal]:
    kind = key.type
    fits = isinstance(kind, KEY_TYPES) and not isinstance(kind, REFUSED_KEY_TYPES)
    if not fits:
        yield _refusal(
            table,
            f"its shard key {key.key} is of type {kind}",
            f"{key.key} as Uuid, BigInteger, Integer or Text",
        )
    elif getattr(kind, "collation", None) not in (None, "C", "POSIX", "default"):
        yield _refusal(
            table,
            f"its shard key {key.key} has the collation {getattr(kind, 'collation', None)}, "
            "under which equal keys may have different bytes",
            f"{key.key} without a collation",
        )
    if key.computed is not None:
        yield _refusal(
            table,
            f"its shard key {key.key} is computed by the server",
            f"{key.key} as an ordinary column, set by the application",
        )


def _primary_key(table: Table, key: Column[Any]) -> Iterator[Refusal]:
    columns = [column.key for column in table.primary_key.columns]
    if columns and key.key not in columns:
        yield _refusal(
            table,
            f"its primary key ({', '.join(columns)}) does not contain the shard key {key.key}, "
            "and no server can hold a key unique that others write too",
            f"primary_key=True on {key.key} as well: "
            f"PRIMARY KEY ({', '.join([key.key, *columns])})",
        )


def _unique(table: Table, key: Column[Any]) -> Iterator[Refusal]:
    for name, columns in _unique_sets(table):
        if key.key not in columns:
            yield _refusal(
                table,
                f"{name} is unique over ({', '.join(columns)}) without the shard key {key.key}",
                f"unique over ({', '.join([key.key, *columns])}); or a table of its own, sharded "
                f"by {columns[0] if columns else 'that value'}, which reserves the value",
            )


def _unique_sets(table: Table) -> Iterator[tuple[str, list[str]]]:
    for constraint in sorted(table.constraints, key=lambda each: str(each.name)):
        if isinstance(constraint, sa.UniqueConstraint | ExcludeConstraint):
            named = constraint.name or type(constraint).__name__
            yield str(named), [column.key for column in constraint.columns]
    for index in sorted(table.indexes, key=lambda each: str(each.name)):
        if index.unique:
            yield f"index {index.name}", _plain_columns(index)


def _plain_columns(index: sa.Index) -> list[str]:
    """The columns that an index holds as they are; `lower(email)` is not the column email."""
    return [each.key for each in index.expressions if isinstance(each, sa.Column)]


def _counters(table: Table) -> Iterator[Refusal]:
    counted = table.autoincrement_column
    for column in table.columns:
        sequence = isinstance(column.default, sa.Sequence)
        serial = "nextval" in _text(column.server_default)
        if column.identity is not None or sequence or serial or column is counted:
            yield _refusal(
                table,
                f"its column {column.key} is numbered by one server (identity, serial, sequence "
                "or autoincrement), and another server would give the same numbers",
                f"{column.key}: Mapped[UUID] = mapped_column(default=uuid7); for numbers that the "
                "application gives: autoincrement=False",
            )


def _foreign_keys(table: Table) -> list[ForeignKeyConstraint]:
    return sorted(table.foreign_key_constraints, key=lambda each: str(each.column_keys))


def _foreign_key(
    table: Table, key: Column[Any], constraint: ForeignKeyConstraint
) -> Iterator[Refusal]:
    target = _target(constraint)
    names = ", ".join(constraint.column_keys)
    if target is None:
        yield _unknown_target(table, constraint)
        return
    there = sharding_of(target)
    if there is None or there.column is None:
        return  # reference data is on every shard; an undeclared table is refused by itself
    pairs = {(each.parent.key, each.column.key) for each in constraint.elements}
    if (key.key, there.column) not in pairs:
        yield _refusal(
            table,
            f"its foreign key ({names}) leads to {target.name}, which is split by {there.column}, "
            f"without tying {key.key} to {target.name}.{there.column}: the row may be on another "
            "shard",
            f"ForeignKeyConstraint([{key.key!r}, …], ['{target.name}.{there.column}', …]) when "
            "both belong to one key; else a plain column without a foreign key",
        )


def _foreign_keys_of_reference(table: Table) -> Iterator[Refusal]:
    for constraint in _foreign_keys(table):
        target = _target(constraint)
        if target is None:
            yield _unknown_target(table, constraint)
        elif key_column(target) is not None:
            yield _refusal(
                table,
                f"it is reference data with a foreign key to {target.name}, whose rows are on "
                "one shard each",
                "a plain column without a foreign key, or @sharded_by instead of @reference",
            )


def _target(constraint: ForeignKeyConstraint) -> Table | None:
    try:
        return constraint.referred_table
    except SQLAlchemyError:
        return None


def _unknown_target(table: Table, constraint: ForeignKeyConstraint) -> Refusal:
    there: Iterable[str] = (each.target_fullname for each in constraint.elements)
    return _refusal(
        table,
        f"its foreign key leads to {', '.join(there)}, which the metadata does not have",
        "import the module of that model before db.declare(metadata)",
    )


def _text(default: object) -> str:
    return str(getattr(default, "arg", ""))


def _refusal(table: Table, because: str, instead: str) -> Refusal:
    return Refusal(table=table.fullname, because=because, instead=instead)
