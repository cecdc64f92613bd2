"""The annotated example and the reference page, made from the declarations. Pure text."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Iterable

from millions.settings.declaration import Declared, Table, declared
from millions.settings.toml import literal

WIDTH = 88
Tables = Iterable[tuple[str, type[Table]]]


def example(
    tables: Tables, values: dict[str, dict[str, object]], *, present: Collection[str]
) -> str:
    """A stack file that names every setting: those in `values` set, the others as comments.

    So are the names of tables that are not `present`: naming a tier would add it.
    """
    parts = [
        _example_table(name, kind, values.get(name, {}), present=name in present)
        for name, kind in tables
    ]
    return "\n".join(parts)


def reference(tables: Tables) -> str:
    """The settings of each table as Markdown."""
    return "\n".join(_reference_table(name, kind) for name, kind in tables)


def summary(kind: type[Table]) -> str:
    """The first line of the table's docstring."""
    return (kind.__doc__ or "").strip().splitlines()[0]


def _example_table(
    name: str, kind: type[Table], values: dict[str, object], *, present: bool
) -> str:
    lines = [f"# {summary(kind)}", f"[{name}]" if present else f"# [{name}]"]
    for each in declared(kind):
        bounds = f" ({each.accepts})" if each.lowest is not None else ""
        lines += textwrap.wrap(
            each.sentence + bounds, WIDTH, initial_indent="# ", subsequent_indent="# "
        )
        if each.key in values:
            lines.append(f"{each.key} = {literal(values[each.key])}")
        else:
            lines.append(f"# {each.key} = {literal(each.example)}")
    return "\n".join(lines) + "\n"


def _reference_table(name: str, kind: type[Table]) -> str:
    lines = [f"## [{name}]", "", summary(kind), ""]
    lines += ["| setting | default | accepts | |", "|---|---|---|---|"]
    lines += [_row(each) for each in declared(kind)]
    return "\n".join(lines) + "\n"


def _row(each: Declared) -> str:
    default = "**required**" if each.required else f"`{literal(each.default)}`"
    cells = (f"`{each.key}`", default, each.accepts, each.sentence)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
