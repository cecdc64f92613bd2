"""`millions climb`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from millions.cli.climbing import planning, verb
from millions.cli.climbing.seen import Load
from millions.cli.climbing.verb import Wishes
from millions.cli.opened import open_stack

if TYPE_CHECKING:
    from millions.cli.climbing.record import Climb
    from millions.cli.opened import Opened

DRIVEN = ("photos", "guests", "pages")
"""Workloads that may be let loose on an application that runs: that of drills brings its own."""


@click.command("climb")
@click.argument("goal", metavar="RUNG|FILE", required=False)
@click.option("--plan", "plan_only", is_flag=True, help="Only say the steps; change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask before servers are erased on the way down.")
@click.option("--pause-after", metavar="STEP", default="", help="Stop after this step.")
@click.option("--resume", is_flag=True, help="Go on with a climb that was broken off or paused.")
@click.option("--undo", is_flag=True, help="Go back to where such a climb began.")
@click.option(
    "--drive",
    type=click.Choice(DRIVEN),
    help="Let clients work on it meanwhile, judge every answer and write a report.",
)
@click.option("--path", "paths", multiple=True, metavar="PATH", help="A path to GET; for pages.")
@click.option(
    "--rate",
    "rate_per_s",
    type=click.FloatRange(0),
    metavar="N",
    default=60.0,
    help="Requests per second of these clients together, 0 for no bound. Default: 60.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
@click.pass_context
def command(  # the shape of the command line
    ctx: click.Context,
    *,
    goal: str | None,
    plan_only: bool,
    yes: bool,
    pause_after: str,
    resume: bool,
    undo: bool,
    drive: str | None,
    paths: tuple[str, ...],
    rate_per_s: float,
    as_json: bool,
) -> int:
    """Go to another rung or stack file, step by step, while everything goes on.

    Says each step, why, what it touches, how long a write may wait and how it is undone; then goes.
    Each step is proven by the engines before the next one is begun. A climb that was broken off, by
    Ctrl-C or by a crash, is gone on with by --resume or undone by --undo. Down is a climb too. With
    --drive the exit status is 1 when a request failed or a promise is broken.
    """
    if sum((goal is not None, resume, undo)) != 1:
        raise click.UsageError("say either RUNG or FILE, or --resume, or --undo", ctx)
    opened = open_stack(ctx)
    load = Load(workload=drive, rate_per_s=rate_per_s, paths=paths) if drive else None
    wishes = Wishes(
        plan_only=plan_only, yes=yes, pause_after=pause_after, as_json=as_json, load=load
    )
    if goal is None:
        return verb.unfinished(opened, wishes, undo=undo)
    return verb.fresh(opened, lambda each: _planned(each, goal), wishes)


def _planned(opened: Opened, goal: str) -> Climb:
    if goal.isdecimal():
        return planning.to_rung(opened, int(goal))
    return planning.to_file(opened, Path(goal).expanduser())
