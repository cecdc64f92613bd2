"""Writes the generated pages of docs/reference and the example stack files anew.

scripts/reference.py           write them
scripts/reference.py --check   say which differ from what they should be; exit status 1 then
"""

from __future__ import annotations

import argparse
import inspect
import sys
from pathlib import Path

import click

from millions import errors, rungs
from millions.cli import exits
from millions.cli.main import VERBS, group
from millions.settings import Table, pages
from millions.settings.app import App
from millions.tiers import tiers

ROOT = Path(__file__).parents[1]
MADE = "<!-- Made by scripts/reference.py; edit the declarations, not this page. -->\n"


def main() -> int:
    """Write or check; answer the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    stale = [name for name, text in generated().items() if _read(ROOT / name) != text]
    for name in stale:
        print(f"{'differs' if check else 'written'}: {name}")
        if not check:
            (ROOT / name).parent.mkdir(parents=True, exist_ok=True)
            (ROOT / name).write_text(generated()[name], encoding="utf-8")
    return 1 if check and stale else 0


def generated() -> dict[str, str]:
    """Every generated file by its path, with what it should hold."""
    return {
        "docs/reference/settings.md": settings(),
        "docs/reference/commands.md": commands(),
        "docs/reference/errors.md": error_codes(),
        "docs/reference/rungs.md": rung_table(),
        "examples/01-single.toml": example(1),
        "examples/02-database.toml": example(2, database={"server": 2, "memory_mib": 1024}),
        "examples/03-balanced.toml": example(3, web={"servers": 3}),
        "examples/04-replicated.toml": example(4, database={"replicas": 2}),
        "examples/05-cached.toml": example(5, cache={"servers": 2}),
        "examples/06-delivered.toml": example(6, edge={"servers": 2}),
        "examples/07-stateless.toml": example(7, store={"servers": 3}),
        "examples/09-queued.toml": example(9, workers={"servers": 2}),
    }


def tables() -> list[tuple[str, type[Table]]]:
    """Every table of a stack file."""
    return [("app", App), *((each.name, each.settings) for each in tiers())]


def settings() -> str:
    """The reference of the stack file."""
    return (
        f"{MADE}# Settings of the stack file\n\n"
        "A stack file is TOML, called `millions.toml`. `[app]` is required; every other table and "
        "setting may be left out.\nAn unknown name, a wrong type or a value out of bounds is an "
        "error, and nothing that runs is changed.\n\n"
        "`rung = 1`, before the first table, is a preset of tiers "
        "([the rungs](rungs.md)).\n\n" + pages.reference(tables())
    )


def commands() -> str:
    """The reference of the command line."""
    parts = [f"{MADE}# Commands\n", _described(group, "millions", "millions [OPTIONS] COMMAND")]
    for verb in VERBS:
        command = group.get_command(click.Context(group), verb)
        assert command is not None, verb  # noqa: S101  # VERBS lists modules that exist
        pieces = " ".join(command.collect_usage_pieces(click.Context(command)))
        parts.append(f"## millions {verb}\n")
        parts.append(_described(command, verb, f"millions {verb} {pieces}"))
        parts += [_inner(verb, name, each) for name, each in _members(command)]
    rows = [f"| {each.status} | {each.meaning} |" for each in exits.ALL]
    parts.append("## Exit statuses\n\n| status | meaning |\n|---|---|\n" + "\n".join(rows) + "\n")
    parts.append("`millions run` and `millions sql` exit with the status of what they ran.\n")
    return "\n".join(parts)


def _members(command: click.Command) -> list[tuple[str, click.Command]]:
    """The commands inside a group, in its order; none when it is no group."""
    return list(command.commands.items()) if isinstance(command, click.Group) else []


def _inner(verb: str, name: str, command: click.Command) -> str:
    pieces = " ".join(command.collect_usage_pieces(click.Context(command)))
    said = _described(command, name, f"millions {verb} {name} {pieces}")
    return f"### millions {verb} {name}\n\n{said}"


def error_codes() -> str:
    """The tree of errors, and the code and meaning of each."""
    kinds = [each for each in vars(errors).values() if isinstance(each, type)]
    rows = [
        f"| {kind.code} | `{kind.__name__}` | {(kind.__doc__ or '').splitlines()[0]} |"
        for kind in sorted(kinds, key=lambda kind: str(kind.code))
    ]
    return (
        f"{MADE}# Errors\n\nEach error says three things: what cannot be done, because of which "
        "value found, and one thing to try.\n\n| code | class | meaning |\n|---|---|---|\n"
        + "\n".join(rows)
        + "\n"
    )


def rung_table() -> str:
    """The rungs, and which of them this version has."""
    rows = [
        f"| {each.number} | {each.name} | {each.adds} | "
        f"{', '.join(f'`{program.name}`' for program in each.programs) or '-'} | "
        f"{'yes' if each.number in rungs.BUILT else 'not yet'} |"
        for each in rungs.RUNGS
    ]
    return (
        f"{MADE}# Rungs\n\nA rung is a preset of tiers, nothing more.\n\n"
        "| rung | name | adds | programs | in this version |\n|---|---|---|---|---|\n"
        + "\n".join(rows)
        + "\n"
    )


def example(rung: int, **values: dict[str, object]) -> str:
    """The stack file of one rung, with every setting; those of `values` are set."""
    app = {
        "name": "photos",
        "web": "photos.web:app",
        "folder": "photos",
        "static": "static",
        "migrate": "alembic upgrade head",
    }
    chosen = next(each for each in rungs.RUNGS if each.number == rung)
    return (
        f"# Rung {rung}, {chosen.name}: {chosen.adds}. Every setting stands here; those behind a # "
        f"at their default.\nrung = {rung}\n\n"
        + pages.example(
            tables(), {"app": dict(app), **values}, present=("app", *rungs.preset(rung))
        )
    )


def _described(command: click.Command, name: str, usage: str) -> str:
    """Usage, what it does, and its options; written here, so that click may change its layout."""
    paragraphs = inspect.cleandoc(command.help or name).split("\n\n")
    lines = [f"```\n{usage}\n```", ""]
    lines += ["\n\n".join(" ".join(each.split()) for each in paragraphs), ""]
    options = [each for each in command.params if isinstance(each, click.Option)]
    if options:
        lines += ["| option | meaning |", "|---|---|"]
        lines += [f"| `{_spelled(each)}` | {each.help} |" for each in options]
        lines.append("")
    return "\n".join(lines)


def _spelled(option: click.Option) -> str:
    names = ", ".join(sorted(option.opts, key=len))
    if option.is_flag:
        return names
    choices = option.type.choices if isinstance(option.type, click.Choice) else ()
    return f"{names} {option.metavar or '/'.join(map(str, choices))}"


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


if __name__ == "__main__":
    sys.exit(main())
