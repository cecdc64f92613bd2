"""`millions down`."""

from __future__ import annotations

import json

import click

from millions.cli import changing, ending
from millions.cli.opened import running_state
from millions.cli.progress import Progress
from millions.errors import DataRefusedError


@click.command("down")
@click.option("--erase-data", is_flag=True, help="Erase database, uploads, releases and logs too.")
@click.option("--yes", is_flag=True, help="Do not ask before erasing.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
@click.pass_context
def command(ctx: click.Context, *, erase_data: bool, yes: bool, as_json: bool) -> None:
    """Stop the stack; its data stays.

    Leaves no process behind, whatever happened before; works with a stack file that is wrong by
    now. --erase-data asks for the name of the stack first.
    """
    state = running_state(ctx)
    name = state.identity.name
    if erase_data and not yes:
        click.echo(f"This erases all that is kept of {name}: {state.path}", err=True)
        typed = click.prompt("Type the name of the stack to go on", default="", err=True)
        if typed != name:
            raise DataRefusedError(
                cannot=f"erase the data of {name}",
                because=f"{typed!r} is not its name; nothing was changed",
                try_="millions down, which keeps the data",
            )
    with changing.alone(state, during_climb=True), Progress(silent=as_json) as progress:
        stopped = ending.stop(state, progress)
        if erase_data:
            progress.say("erasing its data")
            ending.erase(state)
    if as_json:
        click.echo(json.dumps({"stopped": list(stopped), "erased": erase_data}))
    else:
        said = f"{name} is down" if stopped else f"{name} did not run"
        click.echo(f"{said}; its data is erased" if erase_data else said)
