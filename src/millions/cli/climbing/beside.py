"""Load beside a climb of the stack that runs, where the command line asks for it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from millions.cli.climbing import view as views
from millions.cli.climbing import words
from millions.cli.climbing.driven import driven
from millions.drill.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Generator

    from millions.cli.climbing.driven import Driven
    from millions.cli.climbing.seen import Load
    from millions.cli.opened import Opened


@contextmanager
def beside(
    opened: Opened, load: Load | None, *, rung: int, silent: bool
) -> Generator[Driven | None]:
    """Drive `load` while the block runs, and say what came of it; without load only run it."""
    if load is None:
        yield None
        return
    address = Stage(opened.file).address
    view = views.chosen(silent=silent)
    with driven(opened.state, address, load, rung=rung, name=opened.stack.name, view=view) as found:
        yield found
    if found.ascent is not None:
        click.echo(words.outcome(found.ascent), err=silent)
    click.echo(f"report: {found.page}", err=silent)
