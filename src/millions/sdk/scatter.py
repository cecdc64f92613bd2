"""One question to every shard: what may be asked, and one answer made of theirs.

Pure: it gets statements and rows, and sends nothing. What it cannot merge it refuses on one shard
too, so that an answer never changes its meaning when the second shard comes.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import sqlalchemy as sa
from sqlalchemy.engine import IteratorResult, Row
from sqlalchemy.engine.result import SimpleResultMetaData
from sqlalchemy.sql import functions, operators, visitors
from sqlalchemy.sql.elements import Over, UnaryExpression, WithinGroup

from millions.sdk.scatter_order import (
    Rank,
    SortKey,
    bare,
    check_sortable,
    placed,
    refusal,
    sort_key,
)

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is sent to every shard, and how the answers become one.

    Without aggregates the sort keys are the last columns of `statement`, which the answer lacks.
    """

    statement: sa.Select[*tuple[Any, ...]]
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
        return [(self._rank(row), shown[at]) for at, row in enumerate(full)]

    def _rank(self, row: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(Rank(row[key.at], key) for key in self.keys)

    def _aggregated(self, parts: list[Rows]) -> list[Row[Any]]:
        aggregates = self.aggregates or ()
        groups: dict[Hashable, list[Any]] = {}
        names: list[str] = []
        for row in itertools.chain.from_iterable(parts):
            names = names or list(cast("Any", row)._fields)  # public by another name
            group = tuple(v for v, each in zip(row, aggregates, strict=True) if each is None)
            former = groups.get(group)
            groups[group] = list(row) if former is None else _merged(aggregates, former, row)
        values = sorted(groups.values(), key=self._rank) if self.keys else list(groups.values())
        shown = (tuple(each) for each in itertools.islice(values, self.limit))
        result: IteratorResult[Any] = IteratorResult(SimpleResultMetaData(names), shown)
        return list(result.all())


def question(
    statement: sa.Select[*tuple[Any, ...]],
    *,
    order_by: Order | Sequence[Order] = (),
    limit: int | None = None,
) -> Question:
    """Make the question. Raise NotRoutableError when the answers could not be merged."""
    _check_shape(statement)
    listed = cast("Iterable[Any]", order_by if isinstance(order_by, list | tuple) else (order_by,))
    aggregates = _aggregates(statement)
    if aggregates is not None:
        keys = tuple(placed(sort_key(each, 0), statement) for each in listed)
        return Question(statement=statement, keys=keys, limit=limit, aggregates=aggregates)
    orders = list(listed)
    keys = tuple(sort_key(each, at - len(orders)) for at, each in enumerate(orders))
    for key in keys:
        check_sortable(key)
    asked = statement.add_columns(*(key.column for key in keys)) if keys else statement
    asked = asked.order_by(*orders).limit(limit)
    return Question(statement=asked, keys=keys, limit=limit, aggregates=None)


def _check_shape(statement: sa.Select[*tuple[Any, ...]]) -> None:
    if not isinstance(statement, sa.Select):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise refusal(f"it is a {type(statement).__name__}", "a plain select(...)")
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
            raise refusal(f"it has {name}, which each shard would apply alone", instead)


def _aggregates(statement: sa.Select[*tuple[Any, ...]]) -> tuple[type[Any] | None, ...] | None:
    """For each column the aggregate that it is, or None; None when there is none at all."""
    found = tuple(_aggregate(column) for column in statement.selected_columns)
    shape: Any = statement
    grouped = bool(shape._group_by_clauses)  # noqa: SLF001  # SQLAlchemy says it nowhere else
    if not any(found) and not grouped:
        return None
    if len(found) != len(statement.column_descriptions):
        raise refusal("it groups whole objects", "the columns, one by one")
    if None in found and not grouped:
        raise refusal("it mixes aggregates with columns that are not grouped", "group_by(column)")
    return found


def _aggregate(column: Any) -> type[Any] | None:
    element = bare(column)
    kind: type[Any] = element.__class__
    if kind in MERGED:
        if any(_is_distinct(each) for each in element.clauses):
            raise refusal("it counts DISTINCT values", "group_by(column), then len(rows)")
        if kind in (functions.min, functions.max):
            check_sortable(sort_key(next(iter(element.clauses)), 0))
        return kind
    for inside in cast("Iterable[Any]", visitors.iterate(element)):
        if type(inside) in MERGED:
            raise refusal(
                f"it computes with the aggregate {inside.name}", "the bare aggregate as a column"
            )
        _refuse_function(inside)
    return None


def _refuse_function(element: Any) -> None:
    if isinstance(element, Over):
        raise refusal("it has a window function", "the rows, and the window in Python")
    name = str(getattr(element, "name", "")).lower()
    if isinstance(element, WithinGroup) or (
        isinstance(element, functions.FunctionElement) and name in NOT_MERGED
    ):
        raise refusal(
            f"the parts of {name or 'an ordered aggregate'} do not make the whole",
            "count, sum, min or max; an average is sum and count",
        )


def _is_distinct(element: Any) -> bool:
    return isinstance(element, UnaryExpression) and element.operator is operators.distinct_op


def _merged(
    aggregates: tuple[type[Any] | None, ...], mine: Sequence[Any], theirs: Sequence[Any]
) -> list[Any]:
    return [
        a if each is None or b is None else b if a is None else MERGED[each](a, b)
        for each, a, b in zip(aggregates, mine, theirs, strict=True)
    ]


def _chain(ranked: list[list[tuple[Any, Row[Any]]]]) -> Iterable[tuple[Any, Row[Any]]]:
    return itertools.chain.from_iterable(ranked)
