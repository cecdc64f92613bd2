"""Values: what may be cached, how large it is, and how each caller gets a copy of its own.

A value that nothing can change (text, numbers, tuples and frozen dataclasses of such) is shared by
all callers at no cost. A flat dict, list or set, and a list of flat dicts, is copied; anything
deeper is kept as bytes and built anew for each caller, so that no caller can change what the next
one gets. It never accepts what a cache server could not hold later (ORM objects, functions), and
the bytes never leave the process.
"""

from __future__ import annotations

import dataclasses
import marshal
import pickle
import sys
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from uuid import UUID

from millions.errors import SdkError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

DEPTH_MAX = 64
"""Deeper nesting is taken for a value that contains itself."""

_PICKLE_PROTOCOL = 5
_ATOMS = frozenset(
    {
        *(type(None), bool, int, float, str, bytes),
        *(datetime, date, time, timedelta, timezone, UUID, Decimal),
    }
)


class Frozen(NamedTuple):
    """A value as the cache keeps it: `thaw(kept)` is what a caller gets, `kept` without a thaw.

    Made for each hit on a server: a frozen dataclass takes three times as long to make.
    """

    kept: Any
    thaw: Callable[[Any], Any] | None
    size_bytes: int

    def value(self) -> Any:
        """A value of the caller's own."""
        return self.kept if self.thaw is None else self.thaw(self.kept)


def freeze(value: Any) -> Frozen:
    """Keep `value` as it is now. Raise SdkError when it is not plain data."""
    shared, size_bytes = _weigh(value, 0)
    if shared:
        return Frozen(kept=value, thaw=None, size_bytes=size_bytes)
    copy = _copy_of(value)
    if copy is not None:
        return Frozen(kept=copy(value), thaw=copy, size_bytes=size_bytes)
    if is_built_in(value):
        kept = marshal.dumps(value)
        return Frozen(kept=kept, thaw=marshal.loads, size_bytes=sys.getsizeof(kept))
    try:
        kept = pickle.dumps(value, _PICKLE_PROTOCOL)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise _refusal(value, str(error)) from error
    return Frozen(kept=kept, thaw=pickle.loads, size_bytes=sys.getsizeof(kept))


_COPIES: dict[type, Callable[[Any], Any]] = {
    dict: dict[Any, Any].copy,
    list: list[Any].copy,
    set: set[Any].copy,
    bytearray: bytearray.copy,
}


def _copy_of(value: Any) -> Callable[[Any], Any] | None:
    """The function that copies all of `value` that can be changed; None when it lies deeper."""
    if value.__class__ not in _COPIES:
        return None
    if all(_weigh(part, 1)[0] for part in _parts(value)):
        return _COPIES[value.__class__]
    if value.__class__ is list and all(_copy_of(row) is _COPIES[dict] for row in value):
        return _rows
    return None


def _rows(rows: list[dict[Any, Any]]) -> list[dict[Any, Any]]:
    """Copy a list of flat dicts."""
    return [row.copy() for row in rows]


THAWS: tuple[Callable[[Any], Any] | None, ...] = (
    None,
    *_COPIES.values(),
    _rows,
    marshal.loads,
    pickle.loads,
)
"""Every way to thaw, in an order that other processes know; new ones come last."""


def is_built_in(value: Any) -> bool:
    """Whether `marshal` brings it back as it is: it is quicker than `pickle`, and knows less."""
    if value.__class__ is dict:
        return all(map(is_built_in, value)) and all(map(is_built_in, value.values()))
    if value.__class__ in _CONTAINERS:
        return all(map(is_built_in, value))
    return value.__class__ in _SCALARS


_CONTAINERS = frozenset({tuple, list, set, frozenset})
_SCALARS = frozenset({type(None), bool, int, float, str, bytes})


def _parts(value: Any) -> Iterable[Any]:
    """What a container holds, one level down."""
    if value.__class__ is bytearray:
        return ()
    if value.__class__ is dict:
        return [*value, *value.values()]
    return cast("Iterable[Any]", value)


def _weigh(value: Any, depth: int) -> tuple[bool, int]:
    """Say whether nothing can change `value`, and its size in bytes with all that it holds."""
    kind = value.__class__
    if kind in _ATOMS or isinstance(value, (Enum, UUID)):  # the driver has a UUID of its own
        return True, sys.getsizeof(value)
    if depth > DEPTH_MAX:
        raise _refusal(value, f"it is nested deeper than {DEPTH_MAX}, or contains itself")
    parts, fixed = _opened(value)
    size_bytes = sys.getsizeof(value)
    for part in parts:
        part_fixed, part_bytes = _weigh(part, depth + 1)
        fixed = fixed and part_fixed
        size_bytes += part_bytes
    return fixed, size_bytes


def _opened(value: Any) -> tuple[Iterable[Any], bool]:
    """The parts of a container, and whether it cannot be changed itself."""
    kind: Any = value.__class__
    if kind in (tuple, frozenset):
        return value, True
    if kind in _COPIES:
        return _parts(value), False
    if "<locals>" in kind.__qualname__:
        raise _refusal(value, "its class stands in a function, where no other process finds it")
    if tuple in kind.__mro__ and hasattr(kind, "_fields"):
        return value, True
    if dataclasses.is_dataclass(kind):
        parts = [getattr(value, field.name) for field in dataclasses.fields(kind)]
        frozen = bool(getattr(kind, "__dataclass_params__").frozen)  # noqa: B009  # not in the stubs
        return parts, frozen
    if hasattr(kind, "__pydantic_fields__"):
        return list(value.__dict__.values()), False
    raise _refusal(value, f"{kind.__module__}.{kind.__qualname__} is not plain data")


def parts_of(value: Any) -> Iterable[Any]:
    """What a value that may be cached holds, one level down."""
    if value.__class__ in _ATOMS or isinstance(value, (Enum, UUID)):
        return ()
    return _opened(value)[0]


def _refusal(value: Any, because: str) -> SdkError:
    """The error for a value that no cache server could hold."""
    return SdkError(
        cannot=f"cache a value of type {value.__class__.__qualname__}",
        because=because,
        try_="return text, numbers, dates, UUIDs, dicts, lists or a dataclass of these "
        "(a frozen one is shared at no cost); not an ORM object",
    )
