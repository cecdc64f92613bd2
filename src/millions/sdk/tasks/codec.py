"""Turns a task's arguments into JSON text and back, without losing their types. Pure.

It never pickles: reading a row must not run code. What JSON lacks is tagged, as in
`{"$uuid": "…"}`; what is neither plain nor tagged is refused where it is enqueued.
"""

from __future__ import annotations

import math
from base64 import b64decode, b64encode
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson

from millions.errors import TaskError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

FORMAT = 1
"""Stands first in every row; a reader leaves a newer one to a newer release."""

BYTES_MAX = 1024 * 1024
"""Rows are read in batches into memory: what is larger belongs into files or store."""

DEPTH_MAX = 32
"""How deep lists and dictionaries may nest; also ends a list that holds itself."""

Arguments = tuple[list[Any], dict[str, Any]]


class NewerFormatError(TaskError):
    """A newer release wrote these arguments; this one cannot read them."""


def encode(arguments: Sequence[Any], keywords: dict[str, Any]) -> str:
    """Answer the text of a row. Raise TaskError when an argument is of another type."""
    document: list[Any] = [FORMAT, [_plain(each, 0) for each in arguments]]
    if keywords:
        document.append({name: _plain(each, 0) for name, each in keywords.items()})
    try:
        text = orjson.dumps(document)
    except (TypeError, ValueError) as error:  # a lone surrogate in a string
        raise _refusal(str(error), "text that UTF-8 can hold") from error
    if len(text) > BYTES_MAX:
        raise _refusal(
            f"they take {len(text)} bytes, the bound is {BYTES_MAX}",
            "put the data into files or store, and pass its name",
        )
    return text.decode()


def decode(text: str) -> Arguments:
    """Answer positional and keyword arguments. Raise TaskError, or NewerFormatError."""
    try:
        document = orjson.loads(text)
        if document[0] > FORMAT:
            raise NewerFormatError(
                cannot="decode a task's arguments",
                because=f"their format is {document[0]}, this release reads up to {FORMAT}",
                try_="let a worker of the newer release run it",
            )
        if '"$' in text:
            document = _revive(document)
        positional: list[Any] = document[1]
        keywords: dict[str, Any] = document[2] if len(document) > 2 else {}  # noqa: PLR2004  # keywords stand third
        if type(positional) is not list or type(keywords) is not dict:
            raise TypeError("not a list and an object")
    except (ValueError, TypeError, LookupError, ArithmeticError) as error:
        raise TaskError(
            cannot="decode a task's arguments",
            because=f"{error} in {text[:80]!r}",
            try_="look at the row in millions.tasks_dead; something else wrote it",
        ) from error
    return positional, keywords


def _plain(value: Any, depth: int) -> Any:
    """The value as orjson writes it unchanged, or its tagged form."""
    kind: type[Any] = value.__class__
    if kind is str or kind is bool or value is None:
        return value
    if kind in _WRITERS:
        tag, fits, write = _WRITERS[kind]
        return value if fits is not None and fits(value) else {tag: write(value)}
    if isinstance(value, UUID):  # the driver has a class of its own
        return {"$uuid": str(value)}
    if depth >= DEPTH_MAX:
        raise _refusal(f"they nest deeper than {DEPTH_MAX}", "flatter data, or its name in store")
    if kind is list:
        return [_plain(each, depth + 1) for each in value]
    if kind is tuple:
        return {"$tuple": [_plain(each, depth + 1) for each in value]}
    if kind is dict:
        return _plain_dictionary(value, depth + 1)
    raise _refusal(
        f"{value!r:.80} is of type {kind.__module__}.{kind.__qualname__}",
        "pass its id or its fields: text, numbers, lists, dictionaries, UUID, datetime, bytes, "
        "Decimal",
    )


def _plain_dictionary(value: dict[Any, Any], depth: int) -> dict[str, Any]:
    if all(type(key) is str and not key.startswith("$") for key in value):
        return {key: _plain(each, depth) for key, each in value.items()}
    pairs = [[_plain(key, depth), _plain(each, depth)] for key, each in value.items()]
    return {"$dict": pairs}


def _revive(value: Any) -> Any:
    """The value with every tagged object turned back, innermost first."""
    kind: type[Any] = value.__class__
    if kind is list:
        return [_revive(each) for each in value]
    if kind is not dict:
        return value
    if len(value) == 1:
        (tag,) = value
        if tag.startswith("$"):
            return _READERS[tag](_revive(value[tag]))
    return {key: _revive(each) for key, each in value.items()}


def _refusal(because: str, try_: str) -> TaskError:
    return TaskError(cannot="enqueue a task with these arguments", because=because, try_=try_)


def _interval(parts: list[int]) -> timedelta:
    days, seconds, microseconds = parts
    return timedelta(days, seconds, microseconds)


def _hexadecimal(text: str) -> int:
    return int(text, 16)


def _fits_64_bits(value: int) -> bool:
    return -(2**63) <= value < 2**64


_WRITERS: dict[type, tuple[str, Callable[[Any], bool] | None, Callable[[Any], Any]]] = {
    int: ("$int", _fits_64_bits, hex),
    float: ("$float", math.isfinite, repr),
    UUID: ("$uuid", None, str),
    datetime: ("$datetime", None, datetime.isoformat),
    date: ("$date", None, date.isoformat),
    time: ("$time", None, time.isoformat),
    timedelta: ("$timedelta", None, lambda value: [value.days, value.seconds, value.microseconds]),
    bytes: ("$bytes", None, lambda value: b64encode(value).decode()),
    Decimal: ("$decimal", None, str),
}
"""By type: the tag, what says that the value needs none (None: it always does), and the writing."""

_READERS: dict[str, Callable[[Any], Any]] = {
    "$uuid": UUID,
    "$datetime": datetime.fromisoformat,
    "$date": date.fromisoformat,
    "$time": time.fromisoformat,
    "$timedelta": _interval,
    "$bytes": partial(b64decode, validate=True),
    "$decimal": Decimal,
    "$int": _hexadecimal,
    "$float": float,
    "$tuple": tuple,
    "$dict": dict,
}
