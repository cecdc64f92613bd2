"""Dataclasses to JSON and back, for the files of the state folder.

Never guesses: a value of another type than declared is an error that names the place. Bytes become
text one to one (latin-1). Fields that a dataclass computes itself are not written.
"""

from __future__ import annotations

import dataclasses
import json
import types
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from millions.directory import Directory
from millions.directory import parse as parse_directory
from millions.errors import DirectoryError, StateError
from millions.model import Address

if TYPE_CHECKING:
    from pathlib import Path

T = TypeVar("T")


def text(value: Any) -> str:
    """The JSON text of a dataclass, stable for equal values."""
    return json.dumps(document(value), indent=1, sort_keys=True) + "\n"


def parse(kind: type[T], content: str, *, where: str, try_: str) -> T:
    """Build `kind` from JSON text. Raise StateError when it is not whole or of another format."""
    try:
        value = json.loads(content)
        wanted = kind.__dataclass_fields__["format"].default  # type: ignore[attr-defined]  # every file has one
        found = _fields(value, where).get("format")
        if found != wanted:
            raise ValueError(f"its format is {found!r}, this program reads {wanted}")
        return build(kind, value, where=where)
    except (ValueError, TypeError, DirectoryError) as error:
        raise StateError(cannot=f"read {where}", because=str(error), try_=try_) from error


def read(kind: type[T], path: Path, *, try_: str) -> T | None:
    """Read the file at `path` (blocking); None when there is none. Raise StateError as `parse`."""
    try:
        content = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise StateError(cannot=f"read {path}", because=str(error), try_=try_) from error
    return parse(kind, content, where=str(path), try_=try_)


def document(value: Any) -> Any:
    """Plain JSON values for `value`: a dataclass, a tuple, bytes, an enum member or a scalar."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: document(getattr(value, field.name))
            for field in dataclasses.fields(value)
            if field.init
        }
    if isinstance(value, tuple):
        return [document(each) for each in _items(value)]
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return value.value if isinstance(value, Enum) else value


def build(kind: type[T], value: Any, *, where: str = "document") -> T:
    """Build `kind` from plain JSON values. Raise TypeError or ValueError that says where."""
    return cast("T", _build(kind, value, where))


@cache
def _hints(kind: Any) -> tuple[tuple[str, Any, bool], ...]:
    """Each field that is read: its name, its type, and whether it must be there."""
    hints = get_type_hints(kind)
    return tuple(
        (
            field.name,
            hints[field.name],
            field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING,
        )
        for field in dataclasses.fields(kind)
        if field.init
    )


def _build(kind: Any, value: Any, where: str) -> Any:
    if kind is Directory:
        return parse_directory(json.dumps(value), source=where)
    if dataclasses.is_dataclass(kind):
        return _dataclass(kind, value, where)
    if get_origin(kind) in (Union, types.UnionType):
        return _optional(kind, value, where)
    return _tuple(kind, value, where) if get_origin(kind) is tuple else _scalar(kind, value, where)


def _scalar(kind: Any, value: Any, where: str) -> Any:
    if kind is bytes and isinstance(value, str):
        return value.encode("latin-1")
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise TypeError(f"{where}: expected {kind.__name__}, found {value!r}")
    return value


def _items(value: Any) -> list[Any]:
    return list(value)


def _fields(value: Any, where: str) -> dict[str, Any]:
    if type(value) is not dict:
        raise TypeError(f"{where}: expected an object, found {value!r}")
    return dict(cast("Any", value))


def _dataclass(kind: Any, value: Any, where: str) -> Any:
    known = _fields(value, where)
    fields: dict[str, Any] = {}
    for name, hint, required in _hints(kind):
        if name in known:
            fields[name] = _build(hint, known[name], f"{where}.{name}")
        elif required:
            raise ValueError(f"{where}: {name} is missing")
    return kind(**fields)


def _optional(kind: Any, value: Any, where: str) -> Any:
    if value is None:
        return None
    inner = [each for each in get_args(kind) if each is not type(None)]
    return _build(inner[0], value, where)


def _tuple(kind: Any, value: Any, where: str) -> tuple[Any, ...]:
    kinds = get_args(kind)
    if kinds[0] is Address and not isinstance(value, list):
        value = [] if value is None else [value]  # as `Unit.public` was written by earlier versions
    if not isinstance(value, list):
        raise TypeError(f"{where}: expected a list, found {value!r}")
    items = _items(value)
    if len(kinds) == 2 and kinds[1] is Ellipsis:  # noqa: PLR2004  # tuple[X, ...]
        return tuple(_build(kinds[0], each, f"{where}[{at}]") for at, each in enumerate(items))
    if len(kinds) != len(items):
        raise TypeError(f"{where}: expected {len(kinds)} values, found {len(items)}")
    pairs = zip(kinds, items, strict=True)
    return tuple(_build(each, item, f"{where}[{at}]") for at, (each, item) in enumerate(pairs))
