"""`millions new`."""

from __future__ import annotations

from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from millions import rungs
from millions.errors import StackFileError
from millions.sdk import migrations
from millions.settings import Table, pages
from millions.settings.app import NAME, App
from millions.tiers import tiers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.resources.abc import Traversable

SUFFIX = ".tmpl"
RENAMED = {"gitignore": ".gitignore"}
NEEDED = ("fastapi",)


@click.command("new")
@click.argument("name")
def command(name: str) -> None:
    """Make a small working application in a new folder.

    It has one model, one page, one task, migrations and tests; NAME is the folder and the stack.
    """
    if not NAME.fullmatch(name):
        raise StackFileError(
            cannot=f"make an application called {name!r}",
            because="a name is 2 to 40 small letters, digits and hyphens, beginning with a letter",
            try_="millions new notes",
        )
    folder = Path.cwd() / name
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise StackFileError(
            cannot=f"make {folder}",
            because="it exists and is not an empty folder",
            try_="another name",
        )
    for path, text in _contents(name):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
        click.echo(f"  {name}/{path}")
    missing = [each for each in NEEDED if find_spec(each) is None]
    if missing:
        click.echo(f"\nfirst: pip install {' '.join(missing)}")
    click.echo(f"\nnext: cd {name} && millions up")


def _contents(name: str) -> Iterator[tuple[str, str]]:
    package = name.replace("-", "_")
    yield "millions.toml", _stack_file(name, package)
    for path, text in _files(files("millions.cli") / "template"):
        filled = text.replace("PACKAGE", package).replace("NAME", name)
        yield path.replace("PACKAGE", package), filled
    yield "alembic.ini", migrations.ALEMBIC_INI
    yield "migrations/env.py", migrations.ENV_PY.format(package=package)
    yield "migrations/script.py.mako", migrations.SCRIPT_PY_MAKO


def _stack_file(name: str, package: str) -> str:
    tables: list[tuple[str, type[Table]]] = [("app", App)]
    tables += [(each.name, each.settings) for each in tiers()]
    app: dict[str, object] = {
        "name": name,
        "web": f"{package}.web:app",
        "static": "static",
        "migrate": "alembic upgrade head",
    }
    return "rung = 1\n\n" + pages.example(tables, {"app": app}, present=("app", *rungs.preset(1)))


def _files(folder: Traversable, inside: str = "") -> Iterator[tuple[str, str]]:
    for each in sorted(folder.iterdir(), key=lambda each: each.name):
        if each.is_dir():
            yield from _files(each, f"{inside}{each.name}/")
        elif each.name.endswith(SUFFIX):
            name = each.name.removesuffix(SUFFIX)
            yield inside + RENAMED.get(name, name), each.read_text(encoding="utf-8")
