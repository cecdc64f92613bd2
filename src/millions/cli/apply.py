"""`millions apply`."""

from __future__ import annotations

import click

from millions.cli.climbing import planning, verb
from millions.cli.climbing.verb import Wishes
from millions.cli.opened import open_stack


@click.command("apply")
@click.option("--plan", "plan_only", is_flag=True, help="Only say the steps; change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask before servers are erased on the way down.")
@click.option("--pause-after", metavar="STEP", default="", help="Stop after this step.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
@click.pass_context
def command(
    ctx: click.Context, *, plan_only: bool, yes: bool, pause_after: str, as_json: bool
) -> int:
    """Go from what runs to what the stack file says, step by step, as `climb` does.

    The release stays the one that runs; `millions deploy` makes another one. What was broken off
    is gone on with by `millions climb --resume` or undone by `millions climb --undo`.
    """
    wishes = Wishes(plan_only=plan_only, yes=yes, pause_after=pause_after, as_json=as_json)
    return verb.fresh(open_stack(ctx), planning.to_stack_file, wishes, own_file=True)
