"""Which table is split by which column, said by the models from the first day.

It only records and answers; what could never be split is refused by `sharding_check`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar, final
from uuid import UUID

from sqlalchemy import inspect

from millions.errors import NotRoutableError, NotShardableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Column, Table
    from sqlalchemy.orm import Mapper

T = TypeVar("T")

INFO = "millions.sharding"
"""Under this name a Table's `info` holds the shard key's column, or None for reference data: plain
values, because Alembic writes `info` into migrations."""


@final
class Reference:
    """The kind of `REFERENCE`, which is its only instance."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "REFERENCE"


REFERENCE: Final = Reference()
"""In place of a key: reference data, small, read everywhere, the same on every shard."""

Key: TypeAlias = UUID | int | str
AnyKey: TypeAlias = Key | Reference


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharding:
    """How one table is split: by `column`, or not at all when it is None (reference data)."""

    column: str | None


def sharded_by(column: str) -> Callable[[type[T]], type[T]]:
    """Declare that a model's rows live on the shard of their `column` (a class decorator)."""

    def declare(model: type[T]) -> type[T]:
        _table_of(model).info[INFO] = _column_name(model, column)
        return model

    return declare


def reference(model: type[T]) -> type[T]:
    """Declare that a model is reference data: the same rows on every shard (a class decorator)."""
    _table_of(model).info[INFO] = None
    return model


def shard_info(column: str | Reference) -> dict[str, Any]:
    """The `info` of a Core table: `Table(..., info=shard_info("owner_id"))`, or `REFERENCE`."""
    return {INFO: None if isinstance(column, Reference) else column}


def sharding_of(table: Table) -> Sharding | None:
    """What was declared for `table`, or None when nothing was."""
    if INFO not in table.info:
        return None
    return Sharding(column=table.info[INFO])


def key_column(table: Table) -> Column[Any] | None:
    """The column that `table` is split by; None for reference data and undeclared tables."""
    sharding = sharding_of(table)
    if sharding is None or sharding.column is None:
        return None
    return table.columns.get(sharding.column)


def checked_key(key: object) -> AnyKey:
    """`key` when it can be routed. Raise NotRoutableError when it cannot."""
    if isinstance(key, UUID | int | str | Reference) and not isinstance(key, bool):
        return key
    raise NotRoutableError(
        cannot=f"route the key {key!r}",
        because=f"it is of type {type(key).__name__}; a key is a UUID, an int or a str",
        try_="the id of the user whose data it is, or REFERENCE for reference data",
    )


def _table_of(model: type[Any]) -> Table:
    table: Table | None = getattr(model, "__table__", None)
    if table is None:
        raise NotShardableError(
            cannot=f"declare how {model.__name__} is sharded",
            because="it has no table of its own",
            try_="put the decorator on the mapped class, not on an abstract one or a mixin",
        )
    return table


def _column_name(model: type[Any], name: str) -> str:
    """The column behind `name`, which may be an attribute of another name."""
    table = _table_of(model)
    if name in table.columns:
        return name
    mapper: Mapper[Any] = inspect(model)
    attributes = mapper.column_attrs
    if name in attributes:
        return str(attributes[name].columns[0].key)
    raise NotShardableError(
        cannot=f"shard {model.__name__} by {name!r}",
        because=f"its table {table.name} has no such column",
        try_=f"one of: {', '.join(table.columns.keys())}",
    )
