"""The files of the project, as git lists them, and their syntax trees."""

from __future__ import annotations

import ast
import subprocess
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path(__file__).parents[2]
LISTED_WITHIN_S = 30


@cache
def files(*suffixes: str) -> tuple[Path, ...]:
    """Every file that is committed or could be, with one of these suffixes."""
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-co", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        timeout=LISTED_WITHIN_S,
    ).stdout.decode()
    paths = (ROOT / name for name in listed.split("\0") if name)
    return tuple(path for path in paths if path.suffix in suffixes and path.is_file())


def modules(*folders: str) -> tuple[Path, ...]:
    """The Python files below these folders."""
    inside = tuple(ROOT / folder for folder in folders)
    return tuple(path for path in files(".py") if any(path.is_relative_to(at) for at in inside))


@cache
def tree(path: Path) -> ast.Module:
    """The syntax tree of a Python file."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def shown(path: Path) -> str:
    """The path as people say it."""
    return str(path.relative_to(ROOT))


def none(found: Iterable[str]) -> None:
    """Assert that nothing was found; show everything that was, a line each."""
    lines = sorted(found)
    assert not lines, f"{len(lines)} found:\n" + "\n".join(lines)
