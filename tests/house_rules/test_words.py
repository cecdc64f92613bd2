"""STYLE 13 to 15: what is said, and where it is said."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

import pytest
from tree import ROOT, files, modules, none, shown, tree

if TYPE_CHECKING:
    from pathlib import Path

NOT_USED = ("simply", "just", "easy", "obviously", "robust", "powerful", "seamless")
WORDS = re.compile(rf"(?<!\.)\b({'|'.join(NOT_USED)})\b", re.IGNORECASE)
LEFT_FOR_LATER = re.compile(r"\b(TODO|FIXME|XXX)\b")
NAMES_NOT_USED = {"utils", "helpers", "common", "manager", "base", "misc"}
THIS_MACHINE = re.compile(r"(?<![\w.])/(work|root|farm|home/\w+)/\w")
NAMES_THE_WORDS = {"tests/house_rules/test_words.py", "CONTRIBUTING.md", "pyproject.toml"}
PROSE = (".py", ".md", ".toml", ".html", ".css", ".js", ".sh")

IS_A_TIER = re.compile(r"^TIER = Tier\(", re.MULTILINE)
MOVES_ONE_TIER = "src/millions/cli/moving/"
"""The one deed that is about one kind of tier from its first to its last line."""


def tier_files() -> list[Path]:
    found = modules("src/millions/tiers")
    return [path for path in found if IS_A_TIER.search(path.read_text(encoding="utf-8"))]


def lines_with(pattern: re.Pattern[str], *suffixes: str) -> list[str]:
    return [
        f"{shown(path)}:{number}: {line.strip()[:100]}"
        for path in files(*suffixes)
        if shown(path) not in NAMES_THE_WORDS
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if pattern.search(line)
    ]


def test_words_that_say_nothing_are_not_used() -> None:
    none(lines_with(WORDS, *PROSE))


def test_nothing_is_left_for_later_in_the_tree() -> None:
    none(lines_with(LEFT_FOR_LATER, *PROSE))


def test_no_path_of_one_machine_stands_in_the_tree() -> None:
    none(lines_with(THIS_MACHINE, ".py", ".md", ".toml"))


def test_modules_are_named_for_what_they_hold() -> None:
    none(shown(path) for path in modules("src") if path.stem in NAMES_NOT_USED)


@pytest.mark.parametrize("folder", ["src", "bench", "scripts"])
def test_every_module_says_its_role(folder: str) -> None:
    mute = [shown(path) for path in modules(folder) if not ast.get_docstring(tree(path))]
    none(mute)


def test_every_public_function_and_class_has_a_docstring() -> None:
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    mute = [
        f"{shown(path)}:{node.lineno} {node.name}"
        for path in modules("src/millions")
        if "template" not in path.parts
        for node in tree(path).body
        if isinstance(node, kinds)
        if not node.name.startswith("_") and not ast.get_docstring(node)
    ]
    none(mute)


def test_tier_files_say_what_they_run_and_give_and_where_the_design_is_from() -> None:
    for path in tier_files():
        said = ast.get_docstring(tree(path)) or ""
        assert [word for word in ("Runs:", "Gives:", "Source:") if word not in said] == [], path


def test_every_tier_has_a_page() -> None:
    kinds = [path.stem for path in tier_files()]
    assert [kind for kind in kinds if not (ROOT / f"docs/tiers/{kind}.md").exists()] == []


def test_nothing_outside_of_tiers_names_a_kind_of_tier() -> None:
    kinds = {f"millions.tiers.{path.stem}" for path in tier_files()}
    named = [
        f"{shown(path)}:{node.lineno}"
        for path in modules("src/millions")
        if path.parent.name != "tiers" and not shown(path).startswith(MOVES_ONE_TIER)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ImportFrom) and node.module in kinds
    ]
    none(named)
