"""`millions drill`."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table

from millions.cli import exits
from millions.cli.climbing import words as climbing
from millions.cli.opened import stack_file
from millions.drill import clearing, drills, perform
from millions.drill.climbs import folder as climbs
from millions.drill.climbs.document import document as of_climb
from millions.drill.faults import step as steps
from millions.drill.faults.kinds import KINDS
from millions.drill.report.document import document
from millions.drill.report.words import words
from millions.drill.stage import Stage
from millions.drill.workloads.choice import TARGETS
from millions.errors import DataRefusedError, NotRunningError, StackFileError
from millions.runtime import state as states

if TYPE_CHECKING:
    from millions.drill.drill import Drill
    from millions.drill.perform import Outcome

REPORTS = "drill-reports"
CLIENTS_MAX = 1000
DURATION_MAX_S = 86_400
OWN = "a fault of your own, such as 'kill primary at 10s' or 'freeze web.1 at 5s for 8s'"


@click.group("drill")
def command() -> None:
    """Break something on purpose while a checker records every answer.

    A drill runs on a throw-away stack of its own, with the tiers of your stack file and beside your
    data; with --here it runs on the stack that runs. Exit status 1 when a promise is broken.
    """


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def list_(*, as_json: bool) -> None:
    """Say which drills there are, and which faults to build one of."""
    if as_json:
        click.echo(json.dumps(_listed(), indent=1))
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("drill", "rung", "proves", "what happens"):
        table.add_column(column)
    for each in drills.ALL:
        table.add_row(each.name, f"{each.rung}+", " ".join(each.promises), each.says)
    faults = Table(box=None, pad_edge=False, header_style="dim")
    faults.add_column("fault")
    faults.add_column("what is done")
    for name, fault in KINDS.items():
        faults.add_row(name, fault.says + (" (root)" if fault.needs_root else ""))
    console = Console(highlight=False)
    console.print(table)
    console.print()
    console.print(faults)


@command.command("run")
@click.argument("name", required=False)
@click.option("--fault", "faults", multiple=True, metavar="WORDS", help=f"Instead of NAME: {OWN}.")
@click.option(
    "--schedule",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A TOML file of such faults.",
)
@click.option("--rung", type=int, metavar="N", help="Another rung than that of the stack file.")
@click.option("--here", is_flag=True, help="On the stack that runs, with its data.")
@click.option("--yes", is_flag=True, help="Do not ask before breaking the stack that runs.")
@click.option("--target", type=click.Choice(list(TARGETS)), help="What the clients do.")
@click.option("--path", "paths", multiple=True, metavar="PATH", help="A path to GET; for pages.")
@click.option("--duration", metavar="TIME", help="How long the load lasts at least, such as 30s.")
@click.option(
    "--clients",
    type=click.IntRange(1, CLIENTS_MAX),
    metavar="N",
    default=16,
    help="How many clients. Default: 16.",
)
@click.option(
    "--rate",
    "rate_per_s",
    type=click.FloatRange(0),
    metavar="N",
    default=300.0,
    help="Requests per second of all clients together, 0 for no bound. Default: 300.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Folder for history and report. Default: drill-reports, beside the states of all stacks.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the verdict as JSON.")
@click.pass_context
def run(ctx: click.Context, /, *, name: str | None, as_json: bool, **options: Any) -> int:
    """Run a drill and say which promises hold.

    NAME is one of `millions drill list`. It starts a stack of its own, loads it, breaks what the
    drill says, waits until all is well, and judges every answer. Exit status 1 when a promise is
    broken or a step could not be done.
    """
    drill = _drill(name, options["faults"], options["schedule"])
    plan = _plan(ctx, drill, options)
    say = _silent if as_json else _say
    outcome = asyncio.run(_interruptible(plan, say))
    if as_json:
        found = document(outcome.verdict, line=False) | {
            "problems": outcome.problems,
            "folder": str(outcome.folder),
        }
        click.echo(json.dumps(found, indent=1))
    else:
        _show(outcome)
    return exits.DONE.status if outcome.well else exits.BROKEN.status


@command.command("report")
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the verdict as JSON.")
def report(*, folder: Path | None, as_json: bool) -> int:
    """Say again what came of a drill, and write its report anew.

    FOLDER is what `millions drill run` printed; without it the last one. The folder of a climb
    under load will do as well.
    """
    found = folder or _last()
    if (found / climbs.DRIVE).exists():
        return _of_climb(found, as_json=as_json)
    verdict = perform.judge(found)
    if as_json:
        click.echo(json.dumps(document(verdict, line=False) | {"folder": str(found)}, indent=1))
    else:
        _show(perform.Outcome(verdict=verdict, folder=found))
    return exits.DONE.status if verdict.well else exits.BROKEN.status


@command.command("heal")
@click.pass_context
def heal(ctx: click.Context) -> None:
    """Mend what a drill left behind that was itself killed.

    Frozen processes go on, rules of the network are removed, throw-away stacks are taken down.
    """

    async def mend() -> None:
        count = 0
        async for said in clearing.heal(_running(ctx)):
            count += 1
            click.echo(said)
        click.echo("all is mended" if count else "nothing was left behind")

    asyncio.run(mend())


def _listed() -> dict[str, Any]:
    rows = [
        {
            "name": each.name,
            "says": each.says,
            "rung": each.rung,
            "promises": each.promises,
            "may_fail": each.may_fail,
            "steps": [str(step) for step in each.steps],
        }
        for each in drills.ALL
    ]
    return {"drills": rows, "faults": {name: each.says for name, each in KINDS.items()}}


def _drill(name: str | None, faults: tuple[str, ...], schedule: Path | None) -> Drill:
    own = tuple(steps.parse(each) for each in faults)
    if schedule is not None:
        own += steps.schedule(schedule)
    if (name is None) == (not own):
        raise StackFileError(
            cannot="run a drill",
            because="it takes either the name of a drill or faults of your own",
            try_="millions drill list, or --fault 'kill web.1 at 5s'",
        )
    return drills.drill(name) if name is not None else drills.of_steps(own)


def _plan(ctx: click.Context, drill: Drill, options: dict[str, Any]) -> perform.Plan:
    file = _file(ctx, required=options["here"])
    if options["here"] and not options["yes"]:
        click.echo(f"This breaks the stack of {file}, which runs: {drill.says}", err=True)
        if click.prompt("Type yes to go on", default="", err=True) != "yes":
            raise DataRefusedError(
                cannot=f"run {drill.name} on the stack that runs",
                because="nobody consented; nothing was changed",
                try_="without --here, which uses a stack of its own",
            )
    lasts = options["duration"]
    now = time.strftime("%Y%m%d-%H%M%S")
    return perform.Plan(
        drill=drill,
        folder=options["out"] or states.state_root() / REPORTS / f"{drill.name}-{now}",
        file=file,
        rung=options["rung"],
        here=options["here"],
        target=options["target"] or ("pages" if options["here"] else drill.target),
        paths=options["paths"],
        clients=options["clients"],
        rate_per_s=options["rate_per_s"],
        lasts_s=min(DURATION_MAX_S, steps.seconds(lasts)) if lasts else None,
    )


def _file(ctx: click.Context, *, required: bool) -> Path | None:
    """The stack file that is meant; None when there is none and none was named."""
    try:
        return stack_file(ctx)
    except StackFileError:
        if required or ctx.find_root().obj:
            raise
        return None


def _running(ctx: click.Context) -> Stage | None:
    file = _file(ctx, required=False)
    return Stage(file) if file is not None else None


async def _interruptible(plan: perform.Plan, say: Any) -> Outcome:
    """Perform it; a signal to end lets it mend what it broke first."""
    task = asyncio.current_task()
    assert task is not None  # noqa: S101  # asyncio.run made it
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, task.cancel)
    try:
        return await perform.perform(plan, say)
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


def _last() -> Path:
    root = states.state_root() / REPORTS
    folders = [each for each in root.glob("*") if (each / perform.HISTORY).exists()]
    if not folders:
        raise NotRunningError(
            cannot="show the last drill",
            because=f"there is none in {root}",
            try_="millions drill run kill-web",
        )
    return max(folders, key=lambda each: each.stat().st_mtime)


def _of_climb(folder: Path, *, as_json: bool) -> int:
    ascent = climbs.judge(folder)
    if as_json:
        click.echo(json.dumps(of_climb(ascent) | {"folder": str(folder)}, indent=1))
    else:
        click.echo(climbing.outcome(ascent))
        click.echo(f"report: {folder / climbs.PAGE}")
    return exits.DONE.status if ascent.well else exits.BROKEN.status


def _show(outcome: Outcome) -> None:
    console = Console(highlight=False)
    console.print(words(outcome.verdict))
    for each in outcome.problems:
        console.print(each, style="red", markup=False)
    click.echo(f"report: {outcome.folder / perform.PAGE}")  # on one line, however long


def _say(text: str) -> None:
    click.echo(f"  {text}", err=True)


def _silent(text: str) -> None:
    del text
