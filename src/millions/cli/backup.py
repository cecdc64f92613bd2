"""`millions backup`."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from millions.backup import archive, catalog
from millions.cli.keeping import UNIT, kept
from millions.cli.opened import running_state
from millions.cli.running import required
from millions.errors import BackupError

if TYPE_CHECKING:
    from millions.backup.place import Place
    from millions.runtime.state import StateFolder

MIB = 1_048_576
STOPPED_WITHIN_S = 10.0


@click.command("backup")
@click.option("--full", is_flag=True, help="Take a full backup, not only what has changed.")
@click.option("--list", "listed", is_flag=True, help="Only list the backups that there are.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
@click.pass_context
def command(ctx: click.Context, *, full: bool, listed: bool, as_json: bool) -> None:
    """Take a backup of the database now, and verify it.

    Backups are taken by themselves every `every_hours`; between them the archive receives what is
    written as it is written, so that every moment can be restored.
    """
    state = running_state(ctx)
    where = kept(state)
    if not listed:
        required(state)
        taken = _take(state, full=full)
        if as_json:
            click.echo(json.dumps(taken))
        else:
            click.echo(f"{taken['name']} is complete: {int(str(taken['bytes'])) // MIB} MiB")
        return
    _list(where, as_json=as_json)


def _take(state: StateFolder, *, full: bool) -> dict[str, object]:
    """Take a backup as the units' user (blocking); answer what it is."""
    account = state.account
    words = ("take", *(["full"] if full else []))
    process = subprocess.Popen(
        [sys.executable, "-m", "millions.programs.backup", str(state.unit(UNIT)), *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd="/",
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "PYTHONPYCACHEPREFIX": str(state.bytecode)},
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
        umask=0o077,
    )
    try:
        out, said = process.communicate()
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(STOPPED_WITHIN_S)
    if process.returncode:
        raise _failed(said)
    taken: dict[str, object] = json.loads(out.splitlines()[-1])
    return taken


def _failed(said: str) -> BackupError:
    """The error that the program said in three lines."""
    cannot, _, rest = said.strip().partition("\n  because: ")
    because, _, try_ = rest.partition("\n  try: ")
    return BackupError(
        cannot=cannot.removeprefix("cannot ") or "take a backup",
        because=because or said.strip() or "the program ended without a word",
        try_=try_ or f"millions logs --unit {UNIT}",
    )


def _list(where: Place, *, as_json: bool) -> None:
    backups, condition = catalog.listed(where.base), archive.told(where)
    if as_json:
        told = [asdict(each) | {"kind": each.kind} for each in backups]
        archived = None if condition is None else asdict(condition)
        click.echo(json.dumps({"backups": told, "archive": archived, "folder": where.folder}))
        return
    for each in backups:
        ended = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(each.ended_s))
        click.echo(f"{each.name}  {each.kind:<12}{each.bytes // MIB:>8} MiB  {ended}")
    if not backups:
        click.echo("there is no backup yet")
