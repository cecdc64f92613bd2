"""`millions tasks`."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from typing import TYPE_CHECKING, Any, TypeVar

import click
import orjson
from rich.console import Console
from rich.table import Table

from millions.cli.opened import running_state
from millions.cli.running import required
from millions.directory import QueuePlace
from millions.errors import NotRunningError, TaskError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from millions.sdk.tasks.dead import DeadTask, TaskStatistics
    from millions.sdk.tasks.operating import Operator, Rate

T = TypeVar("T")
LAST_WORDS = 120
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")


@click.group("tasks")
def command() -> None:
    """Say how tasks fare, show one, and let those that failed run again."""


@command.command("list")
@AS_JSON
@click.pass_context
def listed(ctx: click.Context, *, as_json: bool) -> None:
    """Say how many tasks wait, run and are dead, how old they are, how fast they go, what fails."""

    async def ask(operator: Operator) -> tuple[TaskStatistics, list[Rate]]:
        return await operator.statistics(), await operator.rates()

    statistics, rates = _asked(ctx, ask)
    if as_json:
        _print_json({**dataclasses.asdict(statistics), "lately": rates})
        return
    console = Console(highlight=False)
    console.print(f"{statistics.workers} workers, {statistics.dead} dead letters")
    queues = _table("queue", "ready", "oldest", "waiting", "running")
    for each in statistics.queues:
        counts = (each.ready, _seconds(each.oldest_s), each.waiting, each.running)
        queues.add_row(each.queue, *map(str, counts))
    console.print(queues)
    lately = _table("task", "done/min", "ms each", "failures lately")
    for rate in rates:
        failures = ", ".join(f"{count} {kind}" for kind, count in rate.failures.items())
        lately.add_row(rate.name, f"{rate.each_minute:.1f}", f"{rate.mean_ms:.1f}", failures or "-")
    console.print(lately)


@command.command("show")
@click.argument("task_id", metavar="ID", type=int)
@AS_JSON
@click.pass_context
def show(ctx: click.Context, *, task_id: int, as_json: bool) -> None:
    """Say everything that is known of one task."""
    found = _asked(ctx, lambda operator: operator.show(task_id))
    if found is None:
        raise _none(task_id)
    if as_json:
        _print_json(dataclasses.asdict(found))
        return
    for key, value in dataclasses.asdict(found).items():
        if value not in (None, "", False, 0):
            click.echo(f"{key:<12} {value}")


@command.command("retry")
@click.argument("task_ids", metavar="ID…", type=int, nargs=-1)
@click.option("--task", "name", metavar="NAME", help="All dead letters of this task.")
@AS_JSON
@click.pass_context
def retry(
    ctx: click.Context, *, task_ids: tuple[int, ...], name: str | None, as_json: bool
) -> None:
    """Let dead letters, or tasks that wait, run now; dead ones with all of their attempts."""
    if bool(task_ids) == bool(name):
        raise click.UsageError("either numbers of tasks or --task NAME", ctx)

    async def act(operator: Operator) -> int:
        if name is not None:
            return await operator.retry_all(name)
        for number, each in enumerate(task_ids):
            if not await operator.retry(each):
                raise _none(each, retried=number)
        return len(task_ids)

    retried = _asked(ctx, act)
    click.echo(json.dumps({"retried": retried}) if as_json else f"{retried} run again")


@command.command("dead")
@click.option("--task", "name", metavar="NAME", help="Those of this task only.")
@click.option(
    "--limit",
    default=100,
    show_default=True,
    type=click.IntRange(1, 10_000),
    help="So many, the latest first.",
)
@AS_JSON
@click.pass_context
def dead(ctx: click.Context, *, name: str | None, limit: int, as_json: bool) -> None:
    """List the tasks that failed for good, the latest first, and why."""
    found: list[DeadTask] = _asked(ctx, lambda operator: operator.dead(name=name, limit=limit))
    if as_json:
        _print_json([dataclasses.asdict(each) for each in found])
        return
    table = _table("id", "task", "died", "attempts", "because")
    for each in found:
        because = each.error.rstrip().rpartition("\n")[2][:LAST_WORDS]
        died = f"{each.died_at.astimezone():%Y-%m-%d %H:%M:%S}"
        table.add_row(str(each.id), each.name, died, str(each.attempts), because)
    Console(highlight=False).print(table)


def _asked(ctx: click.Context, ask: Callable[[Operator], Awaitable[T]]) -> T:
    """Ask the tasks of the stack that runs (blocking)."""
    directory = required(running_state(ctx)).directory
    if directory is None:
        raise NotRunningError(
            cannot="ask about tasks", because="the stack has no database", try_="millions plan"
        )
    # 200 ms that other verbs do not wait for
    from millions.sdk.database import Database  # noqa: PLC0415
    from millions.sdk.tasks.noun import Tasks  # noqa: PLC0415
    from millions.sdk.tasks.operating import Operator  # noqa: PLC0415

    place = dataclasses.replace(directory, queue=QueuePlace())  # for one hint the database will do

    async def run() -> T:
        db = Database()
        tasks = Tasks(db)
        await db.open(place)
        try:
            await tasks.open(place)
            return await ask(Operator(tasks, db.pool))
        finally:
            await tasks.close()
            await db.close()

    return asyncio.run(run())


def _none(task_id: int, *, retried: int | None = None) -> TaskError:
    before = f"; {retried} before it run again" if retried else ""
    return TaskError(
        cannot=f"{'show' if retried is None else 'retry'} task {task_id}",
        because=f"no task of this number waits, runs or is dead: it may be done{before}",
        try_="millions tasks dead, millions tasks list",
    )


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for each in columns:
        table.add_column(each)
    return table


def _print_json(value: Any) -> None:
    click.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2))


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds else "-"
