"""STYLE 6: files, functions, classes and parameter lists keep to their bounds."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from tree import modules, none, shown, tree

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SOURCE_LINES, TEST_LINES = 400, 600
FUNCTION_LINES = 40
PUBLIC_METHODS = 12
POSITIONAL_PARAMETERS = 5
PLACES = ("src", "tests", "bench", "examples", "scripts")

EXCEPTIONS: dict[str, str] = {
    # "path or path:name": "reason"; this list only shrinks
}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(path: Path) -> Iterator[Function]:
    for node in ast.walk(tree(path)):
        if isinstance(node, Function):
            yield node


def lines_of(function: Function) -> int:
    """Lines of the body, without the docstring."""
    body = function.body
    if ast.get_docstring(function) is not None:
        body = body[1:]
    if not body:
        return 0
    return (body[-1].end_lineno or 0) - body[0].lineno + 1


def positional(function: Function) -> list[str]:
    names = [each.arg for each in (*function.args.posonlyargs, *function.args.args)]
    return names[1:] if names[:1] in (["self"], ["cls"]) else names


def public_methods(node: ast.ClassDef) -> list[str]:
    accessors = {"setter", "deleter"}
    return [
        each.name
        for each in node.body
        if isinstance(each, Function)
        and not each.name.startswith("_")
        and not any(
            isinstance(deco, ast.Attribute) and deco.attr in accessors
            for deco in each.decorator_list
        )
    ]


def unexcused(found: list[str]) -> list[str]:
    return [each for each in found if each.partition(" ")[0] not in EXCEPTIONS]


def test_files_are_short() -> None:
    found = [
        f"{shown(path)} has {count} lines"
        for path in modules(*PLACES)
        for count in [len(path.read_text(encoding="utf-8").splitlines())]
        if count > (TEST_LINES if shown(path).startswith("tests") else SOURCE_LINES)
    ]
    none(unexcused(found))


def test_functions_are_short() -> None:
    found = [
        f"{shown(path)}:{function.name} has {lines_of(function)} lines"
        for path in modules(*PLACES)
        for function in functions(path)
        if lines_of(function) > FUNCTION_LINES
    ]
    none(unexcused(found))


def test_parameter_lists_are_short() -> None:
    found = [
        f"{shown(path)}:{function.name} takes {', '.join(positional(function))} by position"
        for path in modules("src", "examples")
        for function in functions(path)
        if len(positional(function)) > POSITIONAL_PARAMETERS
    ]
    none(unexcused(found))


def test_classes_are_small() -> None:
    found = [
        f"{shown(path)}:{node.name} has {len(public_methods(node))} public methods"
        for path in modules("src", "examples")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ClassDef) and len(public_methods(node)) > PUBLIC_METHODS
    ]
    none(unexcused(found))


def test_no_exception_is_kept_for_nothing() -> None:
    paths = {shown(path) for path in modules(*PLACES)}
    assert [each for each in EXCEPTIONS if each.partition(":")[0] not in paths] == []
