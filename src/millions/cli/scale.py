"""`millions scale`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from millions.cli import changing, editing, opened, releasing
from millions.cli.progress import Progress
from millions.cli.running import release_of, required
from millions.errors import StackFileError
from millions.runtime import counts
from millions.runtime.ledger import Ledger
from millions.settings import declared
from millions.settings.reader import near
from millions.tiers import tier as tier_called
from millions.tiers import tiers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from millions.cli.opened import Opened
    from millions.settings import Declared

KEY, LEAST, MOST = "servers", "servers_min", "servers_max"
"""The settings of a tier that say how many servers it has, or between which bounds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """What a tier is scaled to: between two bounds, which are the same where it is one number."""

    least: int
    most: int

    def __str__(self) -> str:
        return str(self.least) if self.least == self.most else f"{self.least}..{self.most}"


@click.command("scale")
@click.argument("pairs", metavar="TIER=NUMBER…", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
@click.pass_context
def command(ctx: click.Context, *, pairs: tuple[str, ...], as_json: bool) -> None:
    """Change how many servers a tier has, without failing a request.

    Writes the number into the stack file and applies it, with the release that runs. TIER=2..8 lets
    the number follow the load between these bounds; TIER=4 keeps it at four. A new server joins
    when it is ready; one that goes answers what it was asked first. What cannot be changes nothing,
    the stack file neither.
    """
    before = opened.open_stack(ctx)
    wanted = _wanted(pairs)
    with changing.alone(before.state), Progress(silent=as_json) as progress:
        desired = required(before.state)
        release, followed = release_of(desired), {rule.group for rule in desired.scaling}
        numbers = {name: _number(before, name) for name in wanted}
        former = editing.text_of(before.file)
        try:
            for name, number in wanted.items():
                for key, value in _edits(number, follows=name in followed).items():
                    editing.set_value(before.file, name, key, value)
            after = releasing.as_released(opened.open_stack(ctx), release)
            releasing.roll_out(after, release, progress)
            releasing.note(after.state, editing.text_of(after.file))
        except BaseException:
            editing.put_back(before.file, former)
            raise
    _say({name: (numbers[name], wanted[name]) for name in wanted}, as_json=as_json)


def _edits(number: Number, *, follows: bool) -> dict[str, int]:
    """The settings to write: both bounds where the number follows the load, now or from now on."""
    if number.least == number.most and not follows:
        return {KEY: number.least}
    return {LEAST: number.least, MOST: number.most}


def _wanted(pairs: Sequence[str]) -> dict[str, Number]:
    """Read TIER=NUMBER or TIER=LEAST..MOST. Raise StackFileError for one that cannot be."""
    found: dict[str, Number] = {}
    for pair in pairs:
        name, _, text = pair.partition("=")
        lowest, highest = _bounds(name)
        least, dots, most = text.partition("..")
        ends = [least, most] if dots else [least]
        if not all(each.isdecimal() and lowest <= int(each) <= highest for each in ends):
            raise StackFileError(
                cannot=f"scale {name} to {text or 'nothing'}",
                because=f"[{name}] {KEY} must be a whole number from {lowest} to {highest}",
                try_=f"millions scale {name}={lowest}"
                + (", or millions down" if text == "0" else ""),
            )
        found[name] = Number(least=int(least), most=int(most or least))
        _check_range(name, found[name])
    return found


def _check_range(name: str, number: Number) -> None:
    """Refuse bounds for a tier that has none, and such as are the wrong way round."""
    if number.least == number.most:
        return
    because = ""
    if MOST not in _settings(name):
        because = "the number of its servers does not follow the load"
    elif number.least > number.most:
        because = f"{number.least} is more than {number.most}"
    if because:
        raise StackFileError(
            cannot=f"scale {name} to {number}",
            because=because,
            try_=f"millions scale {name}={max(number.least, number.most)}",
        )


def _settings(name: str) -> dict[str, Declared]:
    """The settings of a tier by their keys; none when there is no such tier."""
    found = tier_called(name)
    return {each.key: each for each in declared(found.settings)} if found is not None else {}


def _bounds(name: str) -> tuple[int, int]:
    """The bounds of the number of servers of a tier. Raise StackFileError when it has none."""
    setting = _settings(name).get(KEY)
    if setting is None:
        known = tier_called(name) is not None
        scalable = [each.name for each in tiers() if KEY in _settings(each.name)]
        raise StackFileError(
            cannot=f"scale {name}",
            because="it is always one" if known else f"there is no tier {name!r}",
            try_=f"millions scale {min(scalable)}=2" if known else near(name, scalable),
        )
    return int(setting.lowest or 0), int(setting.highest or 0)


def _number(stack: Opened, name: str) -> int:
    """How many servers of a tier run now."""
    wanted, ledger = required(stack.state), Ledger(stack.state)
    ledger.load()
    goal = wanted.goal(counts.of(stack.state.scaling, wanted, ledger))
    return sum(unit.tier == name for unit in goal.units)


def _say(changes: dict[str, tuple[int, Number]], *, as_json: bool) -> None:
    if as_json:
        said = {name: _document(*change) for name, change in changes.items()}
        click.echo(json.dumps(said))
        return
    for name, (one, two) in changes.items():
        click.echo(f"{name}: {one} → {two}" if str(one) != str(two) else f"{name}: {two} as before")


def _document(before: int, after: Number) -> dict[str, int]:
    if after.least == after.most:
        return {"before": before, "after": after.least}
    return {"before": before, "least": after.least, "most": after.most}
