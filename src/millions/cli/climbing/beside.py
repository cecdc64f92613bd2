"""What stands beside a climb of the stack that runs: load, where the command line asks for it.

Without load people at a terminal see the climb and what their own users do.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from millions.cli.climbing import view as views
from millions.cli.climbing import words
from millions.cli.climbing.driven import driven
from millions.cli.climbing.seen import Seen
from millions.cli.climbing.users import Users
from millions.cli.climbing.watching import Watch
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
    """Drive `load` while the block runs, and say what came of it; without load only show it."""
    if load is None:
        with _shown(opened, rung, silent=silent):
            yield None
        return
    address = Stage(opened.file).address
    view = views.chosen(silent=silent)
    with driven(opened.state, address, load, rung=rung, name=opened.stack.name, view=view) as found:
        yield found
    if found.ascent is not None:
        click.echo(words.outcome(found.ascent), err=silent)
    click.echo(f"report: {found.page}", err=silent)


@contextmanager
def _shown(opened: Opened, rung: int, *, silent: bool) -> Generator[None]:
    """Draw the climb while the block runs, for people at a terminal."""
    view = None if silent else views.drawn()
    if view is None:
        yield
        return
    seen = Seen(name=opened.stack.name, rung=rung, began_at_s=time.time(), doing="")
    watch = Watch(opened.state, seen, view, Users())
    watch.start()
    try:
        yield
    finally:
        watch.stop()
