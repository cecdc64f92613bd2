"""`millions purge`."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from millions import directory
from millions.cli.opened import running_state
from millions.errors import StackFileError
from millions.sdk import edge_purging as purging

if TYPE_CHECKING:
    from collections.abc import Sequence


@click.command("purge")
@click.argument("urls", nargs=-1, metavar="[URL]...")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="What has this tag; repeatable.")
@click.option("--all", "everything", is_flag=True, help="Everything that edges keep.")
@click.option("--json", "as_json", is_flag=True, help="Print what came of it at each as JSON.")
@click.pass_context
def command(
    ctx: click.Context,
    *,
    urls: tuple[str, ...],
    tags: tuple[str, ...],
    everything: bool,
    as_json: bool,
) -> None:
    """Let edges forget a page, what has a tag, or everything.

    A URL stands for its path, on every host and with every query. What is being fetched at that
    moment may still be kept: purge it once more when that matters.
    """
    keys = [*map(purging.path_key, urls), *map(purging.tag_key, tags)]
    _check(keys, everything=everything)
    state = running_state(ctx)
    place = directory.read(state.directory).edge
    if place.base_url and not place.hook:
        raise StackFileError(
            cannot=f"purge at {place.base_url}",
            because="cdn_purge is not set: where that network is told of purges",
            try_='[edge] cdn_purge = "https://…"',
        )
    if not place.servers and not place.hook:
        raise StackFileError(
            cannot="purge", because="the stack has no edges", try_="a table [edge], or rung = 6"
        )
    outcomes = asyncio.run(purging.purge(place, [purging.ALL] if everything else keys))
    if as_json:
        click.echo(json.dumps([asdict(each) for each in outcomes]))
    for each in outcomes if not as_json else ():
        count = "done" if each.objects is None else f"{each.objects} forgotten"
        click.echo(f"{each.place}  {each.failure or count}")
    purging.checked(outcomes)


def _check(keys: Sequence[str], *, everything: bool) -> None:
    if bool(keys) == everything:
        raise StackFileError(
            cannot="purge",
            because="--all leaves nothing else to name" if everything else "nothing is named",
            try_="millions purge /photos/7, --tag user:7, or --all",
        )
