"""`millions plan`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from millions.cli import releasing
from millions.cli.forecast import forecast
from millions.cli.opened import open_stack
from millions.runtime import counts
from millions.runtime.ledger import Ledger
from millions.runtime.observe import observe

if TYPE_CHECKING:
    from millions.cli.opened import Opened
    from millions.model import Action
    from millions.runtime.desired import Desired


@click.command("plan")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@click.pass_context
def command(ctx: click.Context, *, as_json: bool) -> None:
    """Say what `up` would do and why; change nothing.

    The actions stand in the order in which they would be begun, if each succeeds.
    """
    opened = open_stack(ctx)
    wanted = releasing.desired(opened, releasing.planned(opened), own={})
    actions = _actions(opened, wanted)
    if as_json:
        click.echo(json.dumps([_document(each) for each in actions], indent=1))
        return
    for each in actions:
        click.echo(str(each))
    if not actions:
        click.echo("nothing to do: what runs is what the stack file says")


def _actions(opened: Opened, wanted: Desired) -> tuple[Action, ...]:
    ledger = Ledger(opened.state)
    ledger.load()
    goal = wanted.goal(counts.of(opened.state.scaling, wanted, ledger))
    return forecast(goal, observe(opened.state, ledger, goal.units))


def _document(action: Action) -> dict[str, str]:
    return {
        "action": type(action).__name__.lower(),
        "unit": action.unit,
        "subject": action.subject(),
        "why": action.why,
    }
