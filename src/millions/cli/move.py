"""`millions move`."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import time

import click

from millions.cli import changing
from millions.cli.moving import beginning, erasing, record, refusals, resuming
from millions.cli.moving.record import Move
from millions.cli.opened import Opened, open_stack
from millions.cli.progress import Progress
from millions.errors import DataRefusedError


@click.command("move")
@click.argument("what", type=click.Choice(["database"]))
@click.option("--to", "target", type=int, metavar="SERVER", help="Number of the server to move to.")
@click.option(
    "--memory",
    "memory_mib",
    type=click.IntRange(64, 4_194_304),
    metavar="MIB",
    help="Memory that the database is tuned for there. Default: as it is.",
)
@click.option("--erase-former", is_flag=True, help="Erase what earlier moves left behind.")
@click.option("--yes", is_flag=True, help="Do not ask before erasing.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
@click.pass_context
def command(  # the shape of the command line
    ctx: click.Context,
    *,
    what: str,
    target: int | None,
    memory_mib: int | None,
    erase_former: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Move the database to another, larger server while everything goes on.

    A copy is made and follows until it is near; then the old server stops, the new one is proven to
    have everything, and takes over. Writes wait for a moment; nothing is lost. The data folder of
    the old server is kept until --erase-former.
    """
    if target is None and not erase_former:
        raise click.UsageError(f"say where the {what} is to go: --to SERVER", ctx)
    opened = open_stack(ctx)
    with changing.alone(opened.state), Progress(silent=as_json) as progress:
        erased = _erase(opened, progress, asked=yes) if erase_former else ()
        done = None if target is None else _move(opened, target, memory_mib or 0, progress)
    _say(opened, done, erased, as_json=as_json)


def _move(opened: Opened, target: int, memory_mib: int, progress: Progress) -> Move:
    """Move, or go on with a move to the same server; one to another is settled first."""
    found = record.read(opened.state)
    if found is not None and not _goes_on(opened, found, target):
        opened = resuming.settled(opened, progress)
        if found.target == target == refusals.table(opened).server:
            return found
        found = None
    origin = refusals.table(opened).server if found is None else found.origin
    wanted = found or Move(
        origin=origin, target=target, memory_mib=memory_mib, began_at_s=time.time()
    )
    if memory_mib:
        wanted = dataclasses.replace(wanted, memory_mib=memory_mib)
    return asyncio.run(beginning.begin(opened, wanted, progress, fresh=found is None))


def _goes_on(opened: Opened, found: Move, target: int) -> bool:
    return found.target == target and changing.current(opened.state) is not None


def _erase(opened: Opened, progress: Progress, *, asked: bool) -> tuple[str, ...]:
    """Erase what earlier moves left, with consent."""
    names = refusals.former_homes(opened)
    if names and not asked:
        for name in names:
            click.echo(f"This erases {opened.state.unit(name)}", err=True)
        typed = click.prompt("Type the name of the stack to go on", default="", err=True)
        if typed != opened.stack.name:
            raise DataRefusedError(
                cannot=f"erase what {', '.join(names)} kept",
                because=f"{typed!r} is not the name of the stack; nothing was changed",
                try_="the move without --erase-former",
            )
    erasing.erase(opened, names, progress)
    return names


def _say(opened: Opened, done: Move | None, erased: tuple[str, ...], *, as_json: bool) -> None:
    if as_json:
        told: dict[str, object] = {"erased": list(erased)}
        if done is not None:
            gap_s = round(done.gap_s, 3)
            told |= {"server": done.target, "from": done.origin, "gap_s": gap_s}
        click.echo(json.dumps(told))
        return
    for name in erased:
        click.echo(f"what {name} kept is erased")
    if done is None:
        if not erased:
            click.echo("nothing is left of earlier moves")
        return
    gap = f"; writes waited for {done.gap_s:.2f} s" if done.gap_s else ""
    click.echo(f"the database is on server {done.target}{gap}")
    for name in refusals.former_homes(opened):
        click.echo(f"{opened.state.unit(name)} is kept (millions move database --erase-former)")
