"""`millions deploy`."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import click

from millions.cli import changing, own_releases, releasing
from millions.cli.opened import Opened, open_stack
from millions.cli.progress import Progress
from millions.cli.running import release_of, releases_of, required
from millions.errors import ReleaseError
from millions.stack import parse

if TYPE_CHECKING:
    from millions.runtime.desired import Desired
    from millions.runtime.state import StateFolder


@click.command("deploy")
@click.option("--rollback", is_flag=True, help="Go back to the release before this one.")
@click.option("--to", "release", metavar="RELEASE", help="Go to this release, which ran before.")
@click.option("--only", metavar="TIER", default="", help="Release to one tier: web or workers.")
@click.option("--list", "listed", is_flag=True, help="Only list the releases that are kept.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
@click.pass_context
def command(
    ctx: click.Context,
    *,
    rollback: bool,
    release: str | None,
    only: str,
    listed: bool,
    as_json: bool,
) -> None:
    """Release the application's current code without failing a request.

    The new release starts, becomes ready and takes the traffic; then the old one finishes what it
    was asked and stops. A release that does not become ready changes nothing and says why. Several
    web servers follow one after the other; the first one is watched for a while ([web] canary_s),
    and when it does worse than the others, all go back.

    With --only the other tiers keep the releases that they run, until they are released to, or
    everything is. Workers alone run no migration: [app] migrate belongs to the web servers.
    """
    if rollback and release:
        raise click.UsageError("--rollback and --to exclude each other", ctx)
    opened = open_stack(ctx)
    if listed:
        _list(opened, as_json=as_json)
        return
    with changing.alone(opened.state), Progress(silent=as_json) as progress:
        runs = releases_of(required(opened.state))
        before = _runs_in(only, runs)
        if rollback:
            release = _earlier(opened, runs, only)
        release, done = _go(opened, release, only, progress)
    where = _in(only) if only else ""
    if as_json:
        said = {"only": only} if only else {}
        click.echo(json.dumps({"release": release, "before": before, **said}))
    elif not done:
        click.echo(f"{release} runs already{where}: nothing has changed")
    elif release == before:
        click.echo(f"{release} runs as the stack file says")
    else:
        click.echo(f"{release} has taken over from {before}{where}")


def _go(opened: Opened, known: str | None, only: str, progress: Progress) -> tuple[str, bool]:
    """Go to a release that is known, or a new one; answer which, and whether that was to do."""
    state, desired = opened.state, required(opened.state)
    there = opened if known is None else _known(opened, known, only)
    if only:
        _unchanged(there, state, release_of(desired))
    if known is None:
        progress.say("makes a release")
    release = releasing.make(opened) if known is None else known
    runs = releases_of(desired)
    after = {tier: release if only in {"", tier} else its for tier, its in runs.items()}
    proven = known is None and release in releasing.proven(state, only)
    done = proven and _is_so(opened, desired, after, only)
    main = next(iter(after.values()))
    own = {tier: its for tier, its in after.items() if its != main}
    if not done:
        releasing.roll_out(there, main, progress, own=own, carefully=known is None)
    if known is None:
        releasing.remember(opened, release, only)
    else:
        releasing.note(state, opened.file.read_text(encoding="utf-8"))
    own_releases.note(state, main, own)
    return release, not done


def _is_so(opened: Opened, desired: Desired, after: dict[str, str], only: str) -> bool:
    """Whether every server is to run these releases already, and as the stack file says."""
    text = releasing.noted(opened.state, release_of(desired))
    released = all(each.release in {"", after.get(each.tier)} for each in desired.units)
    return released and (bool(only) or text == opened.file.read_text(encoding="utf-8"))


def _known(opened: Opened, release: str, only: str) -> Opened:
    kept = releasing.proven(opened.state, only)
    if release not in kept:
        raise ReleaseError(
            cannot=f"go to release {release}",
            because=f"the releases that have run{_in(only)} and are kept are {', '.join(kept)}",
            try_="millions deploy --list",
        )
    return releasing.as_released(opened, release)


def _earlier(opened: Opened, runs: dict[str, str], only: str) -> str:
    """The newest release before the one that runs, of those that ran there."""
    if not only and len(set(runs.values())) > 1:
        raise ReleaseError(
            cannot="go back everywhere",
            because=", ".join(f"{tier} runs {its}" for tier, its in runs.items()),
            try_="millions deploy --rollback --only TIER, or millions deploy --to RELEASE",
        )
    kept, now = releasing.proven(opened.state, only), _runs_in(only, runs)
    at = kept.index(now) if now in kept else -1
    if at + 1 >= len(kept):
        raise ReleaseError(
            cannot=f"go back from {now}",
            because=f"no release before it has run{_in(only)} and is kept",
            try_="millions deploy, which releases the current code",
        )
    return kept[at + 1]


def _in(only: str) -> str:
    return f" in {only}" if only else " everywhere"


def _runs_in(only: str, runs: dict[str, str]) -> str:
    """The release that a tier runs, or the first of all; `runs` are those of each tier."""
    if only and only not in runs:
        raise ReleaseError(
            cannot=f"release to {only} only",
            because=f"the application runs in {', '.join(runs)}",
            try_=f"millions deploy --only {next(iter(runs))}",
        )
    return runs[only or next(iter(runs))]


def _unchanged(there: Opened, state: StateFolder, release: str) -> None:
    """Refuse what would change more than the release of one tier."""
    text = releasing.noted(state, release)
    runs = dataclasses.replace(there, stack=parse(text)) if text is not None else there
    if there.stack != releasing.as_released(runs, release).stack:
        raise ReleaseError(
            cannot="release to one tier only",
            because="the stack file says something else than what runs, or that release ran with "
            "another [app] table; that would change other servers too",
            try_="millions apply and then this again, or millions deploy",
        )


def _list(opened: Opened, *, as_json: bool) -> None:
    kept, runs = releasing.known(opened.state), releases_of(required(opened.state))
    if as_json:
        now = next(iter(runs.values()))
        click.echo(json.dumps({"release": now, "kept": list(kept), "tiers": runs}))
        return
    alone = len(set(runs.values())) == 1
    for each in kept:
        tiers = [tier for tier, its in runs.items() if its == each]
        said = "  runs" if alone else f"  runs in {' and '.join(tiers)}"
        click.echo(f"{each}{said if tiers else ''}")
