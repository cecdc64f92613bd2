"""`millions scale`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from millions.cli import changing, editing, opened, releasing
from millions.cli.progress import Progress
from millions.cli.running import release_of, required
from millions.errors import StackFileError
from millions.settings import declared
from millions.settings.reader import near
from millions.tiers import tier as tier_called
from millions.tiers import tiers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from millions.cli.opened import Opened

KEY = "servers"
"""The setting of a tier that says how many servers it has."""


@click.command("scale")
@click.argument("pairs", metavar="TIER=NUMBER…", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
@click.pass_context
def command(ctx: click.Context, *, pairs: tuple[str, ...], as_json: bool) -> None:
    """Change how many servers a tier has, without failing a request.

    Writes the number into the stack file and applies it, with the release that runs. A new server
    joins when it is ready; one that goes answers what it was asked first. What cannot be changes
    nothing, the stack file neither.
    """
    before = opened.open_stack(ctx)
    wanted = _wanted(pairs)
    with changing.alone(before.state), Progress(silent=as_json) as progress:
        release = release_of(required(before.state))
        numbers = {name: _number(before, name) for name in wanted}
        former = editing.text_of(before.file)
        try:
            for name, number in wanted.items():
                editing.set_value(before.file, name, KEY, number)
            after = releasing.as_released(opened.open_stack(ctx), release)
            releasing.roll_out(after, release, progress)
        except BaseException:
            editing.put_back(before.file, former)
            raise
    _say({name: (numbers[name], wanted[name]) for name in wanted}, as_json=as_json)


def _wanted(pairs: Sequence[str]) -> dict[str, int]:
    """Read TIER=NUMBER. Raise StackFileError for one that cannot be."""
    found: dict[str, int] = {}
    for pair in pairs:
        name, _, text = pair.partition("=")
        lowest, highest = _bounds(name)
        if not text.isdecimal() or not lowest <= int(text) <= highest:
            raise StackFileError(
                cannot=f"scale {name} to {text or 'nothing'}",
                because=f"[{name}] {KEY} must be a whole number from {lowest} to {highest}",
                try_=f"millions scale {name}={lowest}"
                + (", or millions down" if text == "0" else ""),
            )
        found[name] = int(text)
    return found


def _bounds(name: str) -> tuple[int, int]:
    """The bounds of the number of servers of a tier. Raise StackFileError when it has none."""
    scalable = {
        each.name: setting
        for each in tiers()
        for setting in declared(each.settings)
        if setting.key == KEY
    }
    if name not in scalable:
        known = tier_called(name) is not None
        raise StackFileError(
            cannot=f"scale {name}",
            because="it is always one" if known else f"there is no tier {name!r}",
            try_=f"millions scale {min(scalable)}=2" if known else near(name, scalable),
        )
    setting = scalable[name]
    return int(setting.lowest or 0), int(setting.highest or 0)


def _number(stack: Opened, name: str) -> int:
    """How many servers of a tier run now."""
    units = required(stack.state).units
    return sum(unit.tier == name for unit in units)


def _say(changes: dict[str, tuple[int, int]], *, as_json: bool) -> None:
    if as_json:
        said = {name: {"before": one, "after": two} for name, (one, two) in changes.items()}
        click.echo(json.dumps(said))
        return
    for name, (one, two) in changes.items():
        click.echo(f"{name}: {one} → {two}" if one != two else f"{name}: {two} as before")
