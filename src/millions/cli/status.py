"""`millions status`."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import click
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from millions.cli import exits, keeping
from millions.cli.climbing import record as climbs
from millions.cli.opened import running_state
from millions.cli.running import Running, look, public_addresses

if TYPE_CHECKING:
    from millions.runtime.state import StateFolder
    from millions.runtime.status import ScalingStatus

REFRESH_S = 0.5
COLOURS = {"ready": "green", "starting": "yellow", "preparing": "yellow", "kept": "dim"}


@click.command("status")
@click.option("--watch", is_flag=True, help="Go on until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@click.pass_context
def command(ctx: click.Context, *, watch: bool, as_json: bool) -> int:
    """Say what runs and how it is.

    Exit status 0 when all is well, 4 when something is not ready, 7 when the stack does not run.
    """
    state = running_state(ctx)
    if watch and not as_json:
        return _watch(state)
    running = look(state)
    if as_json:
        said = running.document() | {"climb": _climb(state), "folder": str(state.path)}
        click.echo(json.dumps(said, indent=1))
    else:
        Console(highlight=False).print(_picture(state, running))
    return _exit(running)


def _watch(state: StateFolder) -> int:
    try:
        with Live(refresh_per_second=2) as live:
            while True:
                live.update(_picture(state, look(state)))
                time.sleep(REFRESH_S)
    except KeyboardInterrupt:
        return exits.DONE.status


def _exit(running: Running) -> int:
    if running.desired is None:
        return exits.NOT_RUNNING.status
    return exits.DONE.status if running.well else exits.UNIT.status


def _picture(state: StateFolder, running: Running) -> Group:
    lines: list[Text | Table] = [_headline(state, running)]
    status = running.status
    if status is not None and running.desired is not None:
        table = Table(box=None, pad_edge=False, header_style="dim")
        for column in ("unit", "phase", "release", "pid", "address", "up", "restarts"):
            table.add_column(column)
        for unit in status.units:
            table.add_row(
                unit.name,
                Text(unit.phase, style=COLOURS.get(unit.phase, "red")),
                unit.release or "-",
                str(unit.pid or "-"),
                " ".join(unit.public) or unit.address,
                _age(unit.since_s),
                str(unit.restarts),
            )
        lines.append(table)
        lines += [Text(f"{unit.name}: {unit.why}") for unit in status.units if unit.why]
        lines += [Text(_scaled(each)) for each in status.scaling]
        climb = _climb(state)
        if climb:
            lines.append(Text(climb, style="yellow"))
        backups = keeping.words(state)
        if backups:
            lines.append(Text(f"backups: {backups}"))
        if status.problem:
            lines.append(Text(f"supervisor: {status.problem}", style="red"))
    return Group(*lines)


def _climb(state: StateFolder) -> str:
    """What is said of a climb that is not at its end; '' when there is none."""
    found = climbs.read(state)
    if found is None:
        return ""
    step = next(iter(found.names[found.at :]), "its end")
    return (
        f"a climb from rung {found.ends[0]} to {found.ends[1]} is at {step} "
        f"({found.at} of {len(found.names)} steps are done): millions climb --resume, or --undo"
    )


def _scaled(group: ScalingStatus) -> str:
    """How many there are, between which bounds, since when and why."""
    said = f"{group.group}: {group.count}, follows the load from {group.least} to {group.most}"
    if group.why:
        said += f"; since {_age(group.at_s)}: {group.why}"
    return f"{said} ({group.held})" if group.held else said


def _headline(state: StateFolder, running: Running) -> Text:
    name = state.identity.name
    if running.desired is None:
        return Text(f"{name} does not run (millions up)")
    if not running.supervised:
        return Text(f"{name}: no supervisor watches it; this is its last word (millions up)")
    status = running.status
    addresses = public_addresses(status.units) if status is not None else []
    return Text(f"{name}  {' '.join(addresses)}  {'well' if running.well else 'not all is ready'}")


def _age(since_s: float) -> str:
    if not since_s:
        return "-"
    seconds = max(0, int(time.time() - since_s))
    for size, letter in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds // size}{letter}"
    return f"{seconds}s"
