"""`millions deploy`."""

from __future__ import annotations

import json

import click

from millions.cli import changing, releasing
from millions.cli.opened import Opened, open_stack
from millions.cli.progress import Progress
from millions.cli.running import release_of, required
from millions.errors import ReleaseError


@click.command("deploy")
@click.option("--rollback", is_flag=True, help="Go back to the release before this one.")
@click.option("--to", "release", metavar="RELEASE", help="Go to this release, which ran before.")
@click.option("--list", "listed", is_flag=True, help="Only list the releases that are kept.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
@click.pass_context
def command(
    ctx: click.Context, *, rollback: bool, release: str | None, listed: bool, as_json: bool
) -> None:
    """Release the application's current code without failing a request.

    The new release starts, becomes ready and takes the traffic; then the old one finishes what it
    was asked and stops. A release that does not become ready changes nothing and says why. Several
    web servers follow one after the other; the first one is watched for a while ([web] canary_s),
    and when it does worse than the others, all go back.
    """
    if rollback and release:
        raise click.UsageError("--rollback and --to exclude each other", ctx)
    opened = open_stack(ctx)
    before = release_of(required(opened.state))
    kept = releasing.proven(opened.state)
    if listed:
        _list(kept, before, as_json=as_json)
        return
    with changing.alone(opened.state), Progress(silent=as_json) as progress:
        if rollback:
            release = _earlier(kept, before)
        if release is None:
            progress.say("makes a release")
            release = releasing.make(opened)
            if release != before:
                releasing.roll_out(opened, release, progress, carefully=True)
            releasing.remember(opened, release)
        else:
            releasing.roll_out(_known(opened, release, kept), release, progress)
            releasing.note(opened.state, opened.file.read_text(encoding="utf-8"))
    if as_json:
        click.echo(json.dumps({"release": release, "before": before}))
    elif release == before:
        click.echo(f"{release} runs already: nothing in the application has changed")
    else:
        click.echo(f"{release} has taken over from {before}")


def _known(opened: Opened, release: str, kept: tuple[str, ...]) -> Opened:
    if release not in kept:
        raise ReleaseError(
            cannot=f"go to release {release}",
            because=f"the releases that are kept are {', '.join(kept)}",
            try_="millions deploy --list",
        )
    return releasing.as_released(opened, release)


def _earlier(kept: tuple[str, ...], now: str) -> str:
    """The newest release before `now`; `kept` is newest first."""
    at = kept.index(now) if now in kept else -1
    if at + 1 >= len(kept):
        raise ReleaseError(
            cannot=f"go back from {now}",
            because="no release before it is kept",
            try_="millions deploy, which releases the current code",
        )
    return kept[at + 1]


def _list(kept: tuple[str, ...], now: str, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"release": now, "kept": list(kept)}))
        return
    for each in kept:
        click.echo(f"{each}{'  runs' if each == now else ''}")
