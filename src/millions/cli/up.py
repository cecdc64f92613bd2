"""`millions up`."""

from __future__ import annotations

import json
import signal
import time
from typing import TYPE_CHECKING

import click

from millions.cli import changing, ending, exits, own_releases, printing, releasing
from millions.cli.moving import resuming
from millions.cli.opened import Opened, open_stack
from millions.cli.progress import Progress
from millions.cli.running import public_addresses
from millions.runtime import logs

if TYPE_CHECKING:
    from millions.runtime.status import Status


@click.command("up")
@click.option("--detach", "-d", is_flag=True, help="Return when everything is ready.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON; with --detach.")
@click.pass_context
def command(ctx: click.Context, *, detach: bool, as_json: bool) -> int:
    """Start the stack, or change the running one to what the stack file says.

    Makes a release of the application as it is now. Without --detach it shows the logs until
    Ctrl-C, which stops the stack. What cannot be started changes nothing that runs.
    """
    opened = open_stack(ctx)
    began_at_s = time.time()
    with changing.alone(opened.state):
        opened = resuming.settled(opened, Progress(silent=as_json))
        status = _bring_up(opened, silent=as_json)
    _say(opened, status, as_json=as_json)
    return exits.DONE.status if detach else _stay(opened, since=began_at_s)


def _bring_up(opened: Opened, *, silent: bool) -> Status:
    """Bring it up; what fails the first time is stopped again, else what ran before goes on."""
    fresh = changing.current(opened.state) is None
    try:
        with Progress(silent=silent) as progress:
            progress.say("makes a release")
            release = releasing.make(opened)
            status = releasing.roll_out(opened, release, progress, own={})
    except BaseException:
        if fresh:
            ending.stop(opened.state, Progress(silent=True))
        raise
    releasing.remember(opened, release)
    own_releases.note(opened.state, release, {})
    return status


def _say(opened: Opened, status: Status, *, as_json: bool) -> None:
    addresses = public_addresses(status.units)
    if as_json:
        said = {"stack": opened.state.name, "addresses": addresses, "generation": status.generation}
        click.echo(json.dumps(said))
    else:
        click.echo(f"{opened.stack.name} is up: {' '.join(addresses)}")


def _stay(opened: Opened, *, since: float) -> int:
    """Show the logs until Ctrl-C, then stop the stack."""
    click.echo("Ctrl-C stops it", err=True)
    try:
        for record in logs.records(opened.state, since=since, follow=True):
            printing.record(record)
    except KeyboardInterrupt:
        click.echo("", err=True)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C would leave it half stopped
    with Progress() as progress:
        ending.stop(opened.state, progress)
    return exits.DONE.status
