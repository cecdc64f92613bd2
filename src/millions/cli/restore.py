"""`millions restore`."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from millions.backup import catalog, place, restoring
from millions.cli import restored
from millions.cli.keeping import kept
from millions.cli.opened import open_stack
from millions.cli.progress import Progress
from millions.errors import BackupError, MillionsError, StackFileError

if TYPE_CHECKING:
    from millions.backup.catalog import Backup
    from millions.backup.place import Place
    from millions.cli.opened import Opened

LATEST = "latest"
HELD_WITHIN_S = 60.0


@click.command("restore")
@click.option("--into", "into", metavar="FOLDER", required=True, help="Folder of the new stack.")
@click.option(
    "--at",
    "at",
    metavar="TIME",
    default=LATEST,
    help="Moment to restore: 2026-11-24T12:30:00 (this machine's time, or with +00:00), or latest.",
)
@click.option("--backup", "name", metavar="NAME", help="Begin at this backup, not at the nearest.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
@click.pass_context
def command(ctx: click.Context, *, into: str, at: str, name: str | None, as_json: bool) -> None:
    """Restore the database as it was at one moment, into a new stack.

    FOLDER gets a copy of the application and a stack file for rung 1 on a free port; its state is
    made anew. The stack that the backups are of is not touched. Uploads are not part of a backup.
    """
    opened = open_stack(ctx)
    at_s = _moment(at)
    folder = Path(into).expanduser().absolute()
    where = kept(opened.state)
    with (
        Progress(silent=as_json) as progress,
        place.held(where, alone=False, within_s=HELD_WITHIN_S),
    ):
        backup = _backup(where, at_s, name)
        restored.check(opened, folder, backup)
        with suppress(MillionsError, OSError):  # a stack that is gone has nothing more to hand over
            asyncio.run(restored.hand_over(opened, where))
        new = restored.make(opened, folder)
        try:
            restoring.restore(
                where,
                backup=backup,
                at_s=at_s,
                data=restored.data_folder(new),
                account=new.state.account,
                say=progress.say,
            )
        except BaseException:
            restored.erase(new)
            raise
    _say(new, backup, at, as_json=as_json)


def _moment(at: str) -> float | None:
    """The moment in unix seconds; None for the latest."""
    if at == LATEST:
        return None
    try:
        moment = datetime.fromisoformat(at).astimezone()
    except ValueError as error:
        raise StackFileError(
            cannot=f"restore the database as it was at {at!r}",
            because=str(error),
            try_="--at 2026-11-24T12:30:00, or --at latest",
        ) from error
    if moment.timestamp() > time.time():
        raise BackupError(
            cannot=f"restore the database as it was at {at}",
            because="that is in the future",
            try_="--at latest",
        )
    return moment.timestamp()


def _backup(where: Place, at_s: float | None, name: str | None) -> Backup:
    """The backup to begin at. Raise BackupError where `name` is not before the moment."""
    backups = catalog.listed(where.base)
    if name is None:
        return catalog.chosen(backups, at_s)
    found = catalog.chain(backups, name)[-1]
    if at_s is not None and found.ended_s > at_s:
        raise BackupError(
            cannot=f"begin at {name}",
            because="it was taken after the moment that is to be restored",
            try_="leave out --backup",
        )
    return found


def _say(new: Opened, backup: Backup, at: str, *, as_json: bool) -> None:
    if as_json:
        told = {"folder": str(new.folder), "backup": backup.name, "at": at}
        click.echo(json.dumps(told))
        return
    click.echo(f"restored into {new.folder}, from {backup.name}, {at}")
    click.echo(f"next: millions -C {new.folder} up")
