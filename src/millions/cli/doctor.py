"""`millions doctor`."""

from __future__ import annotations

import dataclasses
import json

import click

from millions import rungs
from millions.cli import exits
from millions.cli.examination import Finding, findings


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def command(*, as_json: bool) -> int:
    """Say what this machine has and lacks for each rung.

    Each thing that is missing comes with the command that mends it. Exit status 3 when something
    is missing for a rung that this version has.
    """
    found = list(findings())
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(each) for each in found], indent=1))
    else:
        for rung in rungs.RUNGS:
            _print(rung, [each for each in found if each.rung == rung.number])
    lacking = [each for each in found if each.rung in rungs.BUILT and not each.found]
    return exits.MACHINE.status if lacking else exits.DONE.status


def _print(rung: rungs.Rung, found: list[Finding]) -> None:
    built = "" if rung.number in rungs.BUILT else "  (not in this version)"
    click.secho(f"{rung.number:>2} {rung.name}", bold=True, nl=False)
    click.echo(f"  {rung.adds}{built}")
    for each in found:
        mark = click.style("✓", fg="green") if each.found else click.style("✗", fg="red")
        click.echo(f"   {mark} {each.what:<18} {each.said}")
        if not each.found:
            click.secho(f"     try: {each.mend}", fg="yellow")
    if not found:
        click.echo("     nothing more than the rungs before")
