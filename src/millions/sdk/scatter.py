"""One question to every shard: what may be asked, and one answer made of theirs.

Pure: it gets statements and rows, and sends nothing. What it cannot merge it refuses on one shard
too, so that an answer never changes its meaning when the second shard comes.
"""

from __future__ import annotations

import datetime as dt
import decimal
import heapq
import itertools
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import sqlalchemy as sa
from sqlalchemy.engine import IteratorResult, Row
from sqlalchemy.engine.result import SimpleResultMetaData
from sqlalchemy.sql import functions, operators, visitors
from sqlalchemy.sql.elements import CollationClause, Label, Over, UnaryExpression, WithinGroup

from millions.errors import NotRoutableError

Rows: TypeAlias = Sequence[Row[Any]]
Order: TypeAlias = Any
"""A column, or `column.desc()`, `.nulls_last()`, …; of whatever class SQLAlchemy made it."""

MERGED: dict[type[Any], Callable[[Any, Any], Any]] = {
    functions.count: lambda a, b: a + b,
    functions.sum: lambda a, b: a + b,
    functions.min: min,
    functions.max: max,
}
"""Aggregates whose parts make the whole."""

NOT_MERGED = frozenset(
    (
        *("avg", "array_agg", "string_agg", "json_agg", "jsonb_agg", "json_object_agg"),
        *("jsonb_object_agg", "bool_and", "bool_or", "every", "bit_and", "bit_or", "bit_xor"),
        *("stddev", "stddev_pop", "stddev_samp", "variance", "var_pop", "var_samp", "corr"),
        *("percentile_cont", "percentile_disc", "mode", "range_agg", "xmlagg", "any_value"),
    )
)
"""Aggregates of PostgreSQL whose parts do not make the whole, or whose order would be chance."""

ORDERED = (int, float, decimal.Decimal, dt.date, bytes, bool)


@dataclass(frozen=True, slots=True, kw_only=True)
class SortKey:
    """One column of the order: descending or not, and where NULL goes."""

    column: Any
    descending: bool
    nulls_last: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is sent to every shard, and how the answers become one.

    The last `len(keys)` columns of `statement` are the sort keys, which the answer does not have.
    """

    statement: sa.Select[Any]
    keys: tuple[SortKey, ...]
    limit: int | None
    aggregates: tuple[type[Any] | None, ...] | None

    def answer(self, parts: Sequence[sa.FrozenResult[Any]]) -> list[Row[Any]]:
        """Merge the shards' answers, in the order asked for."""
        if self.aggregates is not None:
            return self._aggregated([part().all() for part in parts])
        ranked = [self._ranked(part) for part in parts]
        merged = heapq.merge(*ranked, key=lambda each: each[0]) if self.keys else _chain(ranked)
        return [row for _, row in itertools.islice(merged, self.limit)]

    def _ranked(self, part: sa.FrozenResult[Any]) -> list[tuple[Any, Row[Any]]]:
        full = part().all()
        if not self.keys:
            return [((), row) for row in full]
        width = len(part().keys()) - len(self.keys)
        shown = part().columns(*range(width)).all()
        return [(self._rank(row[width:]), shown[at]) for at, row in enumerate(full)]

    def _rank(self, values: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(Rank(value, key) for value, key in zip(values, self.keys, strict=True))

    def _aggregated(self, parts: list[Rows]) -> list[Row[Any]]:
        aggregates = self.aggregates or ()
        groups: dict[Hashable, list[Any]] = {}
        names: list[str] = []
        for row in itertools.chain.from_iterable(parts):
            names = names or list(cast("Any", row)._fields)  # public by another name
            group = tuple(v for v, each in zip(row, aggregates, strict=False) if each is None)
            if group in groups:
                groups[group] = [
                    mine if each is None else _merge(each, mine, theirs)
                    for each, mine, theirs in itertools.zip_longest(
                        aggregates, groups[group], row, fillvalue=None
                    )
                ]
            else:
                groups[group] = list(row)
        width = len(aggregates)
        values = list(groups.values())
        if self.keys:
            values.sort(key=lambda each: self._rank(each[width:]))
        shown = (tuple(each[:width]) for each in itertools.islice(values, self.limit))
        result: IteratorResult[Any] = IteratorResult(SimpleResultMetaData(names[:width]), shown)
        return list(result.all())


class Rank:
    """A value in PostgreSQL's order: ascending or descending, NULL where it was asked for."""

    __slots__ = ("_key", "_value")

    def __init__(self, value: Any, key: SortKey) -> None:
        self._value = value.encode() if isinstance(value, str) else value
        self._key = key

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rank) and bool(self._value == other._value)

    def __hash__(self) -> int:
        return hash(self._value)

    def __lt__(self, other: Rank) -> bool:
        mine, theirs = self._value, other._value
        if mine is None or theirs is None:
            return mine is not theirs and (theirs is None) == self._key.nulls_last
        return bool(theirs < mine if self._key.descending else mine < theirs)


def question(
    statement: sa.Select[Any], *, order_by: Order | Sequence[Order] = (), limit: int | None = None
) -> Question:
    """Make the question. Raise NotRoutableError when the answers could not be merged."""
    _check_shape(statement)
    listed = cast("Iterable[Any]", order_by if isinstance(order_by, list | tuple) else (order_by,))
    keys = tuple(_sort_key(each) for each in listed)
    aggregates = _aggregates(statement)
    for key in keys:
        _check_sortable(key)
    asked = statement.add_columns(*(key.column for key in keys)) if keys else statement
    if aggregates is None:
        asked = asked.order_by(*listed).limit(limit)
    return Question(statement=asked, keys=keys, limit=limit, aggregates=aggregates)


def _check_shape(statement: sa.Select[Any]) -> None:
    if not isinstance(statement, sa.Select):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise _refusal(f"it is a {type(statement).__name__}", "a plain select(...)")
    for attribute, name, instead in (
        ("_limit_clause", "a LIMIT", "db.scatter(..., limit=n)"),
        ("_offset_clause", "an OFFSET", "where(column > last), with limit=n"),
        ("_fetch_clause", "a FETCH", "db.scatter(..., limit=n)"),
        ("_order_by_clauses", "an ORDER BY", "db.scatter(..., order_by=column)"),
        ("_distinct", "DISTINCT", "group_by(column)"),
        ("_having_criteria", "HAVING", "a filter in Python over the groups"),
    ):
        clause: Any = getattr(statement, attribute)
        if not (clause is None or clause is False or clause == ()):
            raise _refusal(f"it has {name}, which each shard would apply alone", instead)


def _aggregates(statement: sa.Select[Any]) -> tuple[type[Any] | None, ...] | None:
    """For each column the aggregate that it is, or None; None when there is none at all."""
    found = tuple(_aggregate(column) for column in statement.selected_columns)
    shape: Any = statement
    grouped = bool(shape._group_by_clauses)  # noqa: SLF001  # SQLAlchemy says it nowhere else
    if not any(found) and not grouped:
        return None
    if len(found) != len(statement.column_descriptions):
        raise _refusal("it groups whole objects", "the columns, one by one")
    if None in found and not grouped:
        raise _refusal("it mixes aggregates with columns that are not grouped", "group_by(column)")
    return found


def _aggregate(column: Any) -> type[Any] | None:
    whole: Any = column
    element: Any = whole.element if isinstance(column, Label) else whole
    kind: type[Any] = element.__class__
    if kind in MERGED:
        if any(_is_distinct(each) for each in element.clauses):
            raise _refusal("it counts DISTINCT values", "group_by(column), then len(rows)")
        return kind
    for inside in cast("Iterable[Any]", visitors.iterate(element)):
        if type(inside) in MERGED:
            raise _refusal(
                f"it computes with the aggregate {inside.name}", "the bare aggregate as a column"
            )
        _refuse_function(inside)
    return None


def _refuse_function(element: Any) -> None:
    if isinstance(element, Over):
        raise _refusal("it has a window function", "the rows, and the window in Python")
    name = str(getattr(element, "name", "")).lower()
    if isinstance(element, WithinGroup) or (
        isinstance(element, functions.FunctionElement) and name in NOT_MERGED
    ):
        raise _refusal(
            f"the parts of {name or 'an ordered aggregate'} do not make the whole",
            "count, sum, min or max; an average is sum and count",
        )


def _is_distinct(element: Any) -> bool:
    return isinstance(element, UnaryExpression) and element.operator is operators.distinct_op


def _merge(aggregate: type[Any], mine: Any, theirs: Any) -> Any:
    if mine is None or theirs is None:
        return theirs if mine is None else mine
    return MERGED[aggregate](mine, theirs)


def _sort_key(element: Any) -> SortKey:
    descending = False
    nulls_last: bool | None = None
    inner = sa.inspect(element, raiseerr=False)
    current = getattr(element, "__clause_element__", lambda: element)() if inner else element
    while isinstance(current, UnaryExpression):
        if current.modifier is operators.desc_op:
            descending = True
        elif current.modifier is operators.nulls_last_op:
            nulls_last = True
        elif current.modifier is operators.nulls_first_op:
            nulls_last = False
        elif current.modifier is not operators.asc_op:
            break
        current = current.element
    last = nulls_last if nulls_last is not None else not descending
    return SortKey(column=current, descending=descending, nulls_last=last)


def _check_sortable(key: SortKey) -> None:
    kind = key.column.type
    if isinstance(kind, sa.String):
        collation: Any = getattr(key.column, "right", None)
        explicit = isinstance(collation, CollationClause)
        named: Any = cast("Any", collation).collation if explicit else kind.collation
        if named not in ("C", "POSIX"):
            raise _refusal(
                f"the order of the text {key.column} depends on the server's language",
                'order_by=column.collate("C")',
            )
        return
    try:
        python = kind.python_type
    except NotImplementedError:
        python = object
    if not issubclass(python, (*ORDERED, sa.Uuid().python_type)):
        raise _refusal(f"values of type {kind} have no order outside PostgreSQL", "another order")


def _chain(ranked: list[list[tuple[Any, Row[Any]]]]) -> Iterable[tuple[Any, Row[Any]]]:
    return itertools.chain.from_iterable(ranked)


def _refusal(because: str, try_: str) -> NotRoutableError:
    return NotRoutableError(
        cannot="ask every shard with this statement", because=because, try_=try_
    )
