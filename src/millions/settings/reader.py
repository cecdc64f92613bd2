"""Reads the text of a stack file into tables, and says what is wrong with it in three lines.

Pure: it never opens a file. Whatever is wrong raises StackFileError before anything is acted on.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from pydantic import ValidationError

from millions.errors import StackFileError
from millions.settings.declaration import Declared, Table, declared
from millions.settings.location import line_of
from millions.settings.toml import literal

NEAR_ENOUGH = 0.6
"""difflib's own cut-off: `memry_mib` finds `memory_mib`, `colour` finds nothing."""

SHOWN_CHARACTERS = 60
PREFIX_OF_CHECKS = "Value error, "
"""What pydantic writes before the words of our own checks."""

AnyTable = TypeVar("AnyTable", bound=Table)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The text of a stack file and the name it is called by in errors."""

    name: str
    text: str

    def document(self) -> dict[str, Any]:
        """Parse the TOML. Raise StackFileError where it is not TOML."""
        try:
            return tomllib.loads(self.text)
        except tomllib.TOMLDecodeError as error:
            place = re.search(r"at line (\d+)", str(error))
            line = int(place[1]) if place else None
            raise self.error(
                str(error), "mend that line; https://toml.io shows the form", line
            ) from (error)

    def error(self, because: str, try_: str, line: int | None = None) -> StackFileError:
        """The error for this file: `because`, with the line where it is known."""
        where = f"line {line}: " if line else ""
        return StackFileError(cannot=f"read {self.name}", because=where + because, try_=try_)

    def at(self, path: tuple[str, ...], because: str, try_: str) -> StackFileError:
        """The error for the key at `path`."""
        return self.error(because, try_, line_of(self.text, path))


def table(source: Source, kind: type[AnyTable], name: str, content: object) -> AnyTable:
    """Read one table. Raise StackFileError for the first problem, and count the others."""
    if not isinstance(content, Mapping):
        said = f"{name} is {literal(content)}; it must be a table"
        raise source.at((name,), said, f"[{name}], with its settings on the lines below")
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        problems = cast("list[dict[str, Any]]", error.errors(include_url=False))
        raise _explain(source, kind, name, problems) from None


def known(source: Source, names: Collection[str], path: tuple[str, ...], what: str) -> None:
    """Raise StackFileError when the last of `path` is not one of `names`."""
    if path[-1] not in names:
        raise source.at(path, f"there is no {what} {path[-1]!r}", near(path[-1], names))


def near(word: str, names: Collection[str]) -> str:
    """A suggestion in words: the nearest of `names`, or all of them when none is near."""
    found = difflib.get_close_matches(word, sorted(names), n=1, cutoff=NEAR_ENOUGH)
    return f"did you mean {found[0]}?" if found else "one of " + ", ".join(sorted(names))


def _explain(
    source: Source, kind: type[Table], name: str, problems: list[dict[str, Any]]
) -> StackFileError:
    problem = problems[0]
    path = tuple(str(part) for part in problem["loc"])
    because, try_ = _words(kind, name, path, problem)
    if len(problems) > 1:
        because += f" ({len(problems) - 1} more to mend after this one)"
    return source.at((name, *path), because, try_)


def _words(
    kind: type[Table], name: str, path: tuple[str, ...], problem: dict[str, Any]
) -> tuple[str, str]:
    """What was found and what to try, for one problem that pydantic reports."""
    settings = {each.key: each for each in declared(kind)}
    said = str(problem["msg"]).removeprefix(PREFIX_OF_CHECKS)
    if problem["type"] == "extra_forbidden" and len(path) == 1:
        return f"[{name}] has no setting {path[0]!r}", near(path[0], settings)
    if not path or path[0] not in settings:
        return f"[{name}] {said}", f"see docs/reference/settings.md, [{name}]"
    declaration = settings[path[0]]
    if problem["type"] == "missing" and len(path) == 1:
        return f"[{name}] lacks {path[0]}", f"{path[0]} = {literal(declaration.example)}"
    found = f"[{name}] {'.'.join(path)} is {_shown(problem['input'])}"
    accepts = said if problem["type"] == "value_error" else declaration.accepts
    return f"{found}; it must be {accepts}", _edit(declaration)


def _shown(value: object) -> str:
    text = literal(value)
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "…"


def _edit(declaration: Declared) -> str:
    value = declaration.example if declaration.required else declaration.default
    if value in ("", [], {}):
        value = declaration.example
    return f"{declaration.key} = {literal(value)}"
