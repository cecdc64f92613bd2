"""`millions check`."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.console import Console

from millions.cli import exits
from millions.drill import history
from millions.drill.checker import check
from millions.drill.report.document import document
from millions.drill.report.words import words


@click.command("check")
@click.option("--json", "as_json", is_flag=True, help="Print the verdict as JSON.")
@click.option(
    "--may-fail",
    type=click.Choice(history.MAY_FAIL),
    help="Which requests may fail, whatever the history says; else it is told, not judged.",
)
@click.argument("path", metavar="HISTORY", type=click.Path(path_type=Path))
def command(path: Path, *, as_json: bool, may_fail: str | None) -> int:
    """Say which promises a history of operations breaks.

    HISTORY is a file of JSON lines, one operation a line, written by a drill or by any program of
    yours (docs/guides/drills.md). Exit status 0 when every promise holds, 1 when one is broken, 2
    when the file cannot be read.
    """
    verdict = check(history.read(path), may_fail=may_fail or "")
    if as_json:
        click.echo(json.dumps(document(verdict), indent=1))
    else:
        Console(highlight=False).print(words(verdict))
    return exits.DONE.status if verdict.well else exits.BROKEN.status
