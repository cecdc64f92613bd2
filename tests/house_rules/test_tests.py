"""STYLE 16 to 20: tests wait for what they wait for, and say why when they are left out."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from tree import modules, none, shown, tree

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SLEEPS_FOR_A_REASON = "# sleeps:"
"""What a line that sleeps must say, with the reason after it: a slow peer that is imitated."""


def calls(path: Path, name: str) -> Iterator[ast.Call]:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == name:
            yield node


def test_no_test_sleeps_to_wait() -> None:
    found = []
    for path in modules("tests", "examples"):
        lines = path.read_text(encoding="utf-8").splitlines()
        found += [
            f"{shown(path)}:{call.lineno}"
            for call in calls(path, "time.sleep")
            if SLEEPS_FOR_A_REASON not in lines[call.lineno - 1]
        ]
    none(found)


def test_what_is_skipped_says_why() -> None:
    silent = []
    for path in modules("tests", "examples"):
        for name in ("pytest.skip", "pytest.mark.skip", "pytest.mark.skipif", "pytest.mark.xfail"):
            silent += [
                f"{shown(path)}:{call.lineno}"
                for call in calls(path, name)
                if not _reason(call, positional=name == "pytest.skip")
            ]
    none(silent)


def test_test_modules_have_names_of_their_own() -> None:
    """Two modules of one name in one folder tree confuse pytest without packages."""
    names = [path.name for path in modules("tests") if path.name.startswith("test_")]
    twice = {name for name in names if names.count(name) > 1}
    none(twice)


def _reason(call: ast.Call, *, positional: bool) -> bool:
    if positional and call.args:
        return True
    return any(
        keyword.arg == "reason" and ast.unparse(keyword.value) not in {"''", '""'}
        for keyword in call.keywords
    )
