"""The order of rows that come from several shards: PostgreSQL's, computed here.

Pure. What has no order outside PostgreSQL is refused.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.sql import operators
from sqlalchemy.sql.elements import CollationClause, Label, UnaryExpression

from millions.errors import NotRoutableError

ORDERED = (int, float, decimal.Decimal, dt.date, bytes, bool, UUID)


@dataclass(frozen=True, slots=True, kw_only=True)
class SortKey:
    """One column of the order, `at` this place of the row; descending or not, where NULL goes."""

    column: Any
    at: int
    descending: bool
    nulls_last: bool


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


def sort_key(element: Any, at: int) -> SortKey:
    """Read a column, `column.desc()`, … whose values are `at` this place of a row."""
    descending = False
    nulls_last: bool | None = None
    current: Any = (
        element.__clause_element__() if hasattr(element, "__clause_element__") else element
    )
    while isinstance(current, UnaryExpression) or _is_reference(current):
        modifier: object = vars(current).get("modifier")
        if modifier is operators.desc_op:
            descending = True
        elif modifier is operators.nulls_last_op:
            nulls_last = True
        elif modifier is operators.nulls_first_op:
            nulls_last = False
        elif modifier is not operators.asc_op and not _is_reference(current):
            break
        current = current.element
    last = nulls_last if nulls_last is not None else not descending
    return SortKey(column=current, at=at, descending=descending, nulls_last=last)


def _is_reference(element: Any) -> bool:
    """Whether SQLAlchemy wrapped a label, to order by its name."""
    return getattr(element, "__visit_name__", "") == "label_reference"


def placed(key: SortKey, statement: sa.Select[*tuple[Any, ...]]) -> SortKey:
    """The sort key at the place of its column among the selected ones, which are merged."""
    for at, column in enumerate(statement.selected_columns):
        if column is key.column or bare(column).compare(bare(key.column)):
            return dataclasses.replace(key, at=at)
    raise refusal(
        f"it is ordered by {key.column}, which is not one of its columns",
        "the column of the order in the select as well",
    )


def bare(column: Any) -> Any:
    """The column without the label it is selected under."""
    whole: Any = column
    return whole.element if isinstance(column, Label) else whole


def check_sortable(key: SortKey) -> None:
    """Raise NotRoutableError for values that only PostgreSQL can put in order."""
    kind = key.column.type
    if isinstance(kind, sa.String):
        collation: Any = getattr(key.column, "right", None)
        explicit = isinstance(collation, CollationClause)
        named: Any = cast("Any", collation).collation if explicit else kind.collation
        if named not in ("C", "POSIX"):
            raise refusal(
                f"the order of the text {key.column} depends on the server's language",
                'order_by=column.collate("C")',
            )
        return
    try:
        python = kind.python_type
    except NotImplementedError:
        python = object
    if not issubclass(python, ORDERED):
        raise refusal(f"values of type {kind} have no order outside PostgreSQL", "another order")


def refusal(because: str, try_: str) -> NotRoutableError:
    """The error for a statement whose answers could not be merged."""
    return NotRoutableError(
        cannot="ask every shard with this statement", because=because, try_=try_
    )
