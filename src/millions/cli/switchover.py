"""`millions switchover`."""

from __future__ import annotations

import json

import click

from millions.cli import changing, leading
from millions.cli.opened import running_state
from millions.cli.progress import Progress
from millions.cli.running import required


@click.command("switchover")
@click.option("--to", "target", metavar="UNIT", help="Who is to lead. Default: who is first.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
@click.pass_context
def command(ctx: click.Context, *, target: str | None, as_json: bool) -> None:
    """Let another member of the database lead, on purpose.

    The one that leads is stopped cleanly and its leadership given free: writes wait for about half
    a second, nothing is lost, and it comes back as a replica. With --to it takes some seconds,
    because the others step back for the one that is named.
    """
    state = running_state(ctx)
    with changing.alone(state, during_climb=True), Progress(silent=as_json) as progress:
        desired = required(state)
        former, leads, took_s = leading.hand_over(state, desired, target, progress)
    if as_json:
        click.echo(json.dumps({"former": former, "leads": leads, "took_s": round(took_s, 3)}))
    elif leads == former:
        click.echo(f"{leads} leads already")
    else:
        click.echo(f"{leads} leads now, {former} follows; it took {took_s:.1f} s")
