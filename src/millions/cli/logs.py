"""`millions logs`."""

from __future__ import annotations

import re
import time
from datetime import datetime

import click

from millions.cli import printing
from millions.cli.opened import running_state
from millions.errors import StackFileError
from millions.runtime import logs

LEVELS = ("debug", "info", "warning", "error", "critical")
AGO = re.compile(r"(\d+)([smhd])")
SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


@click.command("logs")
@click.option("-f", "--follow", is_flag=True, help="Go on with what is logged until Ctrl-C.")
@click.option("--unit", metavar="UNIT", help="Only of this unit, such as web.1.")
@click.option("--level", type=click.Choice(LEVELS), help="Only of this level and above.")
@click.option("--since", metavar="WHEN", help="Only after: 90s, 10m, 2h, 1d, or an ISO time.")
@click.option("--grep", metavar="REGEX", help="Only what matches this regular expression.")
@click.option("--json", "as_json", is_flag=True, help="Print each record as one line of JSON.")
@click.pass_context
def command(  # what can be asked for, by keyword
    ctx: click.Context,
    *,
    follow: bool,
    unit: str | None,
    level: str | None,
    since: str | None,
    grep: str | None,
    as_json: bool,
) -> None:
    """Show the logs of all units, oldest first."""
    state = running_state(ctx)
    if grep is not None:
        _check_expression(grep)
    found = logs.records(
        state,
        unit=unit,
        level=level,
        since=_moment(since) if since else None,
        grep=grep,
        follow=follow,
    )
    try:
        for record in found:
            if as_json:
                printing.as_json(record)
            else:
                printing.record(record)
    except KeyboardInterrupt:
        if not follow:
            raise


def _moment(text: str) -> float:
    """Read `10m` (ago) or an ISO time, in this machine's zone when it names none; unix seconds."""
    ago = AGO.fullmatch(text)
    if ago:
        return time.time() - int(ago[1]) * SECONDS[ago[2]]
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise StackFileError(
            cannot=f"show logs since {text!r}",
            because="it is neither an age nor an ISO time",
            try_="--since 10m, or --since 2026-01-31T12:00",
        ) from None


def _check_expression(text: str) -> None:
    try:
        re.compile(text)
    except re.error as error:
        raise StackFileError(
            cannot=f"search for {text!r}",
            because=f"it is not a regular expression: {error}",
            try_=f"--grep '{re.escape(text)}'",
        ) from None
