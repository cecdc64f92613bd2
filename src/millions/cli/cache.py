"""`millions cache`."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from typing import TYPE_CHECKING

import click

from millions.cli import cached
from millions.cli.opened import running_state
from millions.cli.running import required
from millions.errors import NotRunningError

if TYPE_CHECKING:
    from millions.cli.cached import Report

MIB = 1_048_576


@click.command("cache")
@click.argument("what", type=click.Choice(["stats"]))
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@click.pass_context
def command(ctx: click.Context, *, what: str, as_json: bool) -> None:  # noqa: ARG001  # one choice
    """Say what the cache answers, what it holds, and what more memory would bring.

    Of each web process, as it told within the last minute, and of each cache server. What more
    memory would bring is an estimate from a sample of the keys that servers were asked for within
    the last hour; what expires or is invalidated comes off it. More memory for a server that was
    never full brings nothing.
    """
    desired = required(running_state(ctx))
    if desired.directory is None:
        raise NotRunningError(
            cannot="ask the cache", because="the stack has none", try_="millions plan"
        )
    report = asyncio.run(cached.report(desired.directory))
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(report), indent=1))
        return
    _processes(report)
    _servers(report)
    _hottest(report)


def _processes(report: Report) -> None:
    if not report.processes:
        click.echo("no web process has told anything within the last minute")
    for each in report.processes:
        click.echo(
            f"{each.unit:<12} hits {_percent(each.hit_ratio)} near, "
            f"{_percent(each.server_ratio)} of the rest from servers; {each.loads} loads; "
            f"{each.used_bytes / MIB:.1f} of {each.capacity_bytes / MIB:.0f} MiB, "
            f"{each.evictions} evicted"
        )


def _servers(report: Report) -> None:
    for each in report.servers:
        if each.trouble:
            click.echo(f"{each.address:<21} away: {each.trouble}")
            continue
        click.echo(
            f"{each.address:<21} {each.used_bytes / MIB:.1f} of "
            f"{each.capacity_bytes / MIB:.0f} MiB, {each.keys} keys, {each.evictions} evicted, "
            f"up {each.up_s} s"
        )
        if each.estimates:
            said = ", ".join(f"{_percent(e.share)} with {e.memory:g}" for e in each.estimates)
            click.echo(f"{'':<21} could answer {said} times the memory, at most")
            if not each.evictions:
                click.echo(f"{'':<21} it was never full: more memory would bring nothing")


def _hottest(report: Report) -> None:
    for each in report.hottest:
        click.echo(f"{_percent(each.share):>7} {each.name}")


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share * 100:.1f} %"
