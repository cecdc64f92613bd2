"""Prints log records for people."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click
import orjson

if TYPE_CHECKING:
    from millions.runtime.logs import Record

COLOURS = {"warning": "yellow", "error": "red", "critical": "red", "debug": "bright_black"}


def record(found: Record) -> None:
    """Print one record on one line, and its traceback, if it has one, below."""
    moment = datetime.fromtimestamp(found.time_s, UTC).astimezone()
    time = f"{moment:%H:%M:%S}.{moment.microsecond // 1000:03d}"
    unit = click.style(f"{found.unit:<11}", fg="cyan")
    event = click.style(found.event, fg=COLOURS.get(found.level))
    rest = dict(found.fields)
    trace = rest.pop("exception", None)
    said = " ".join(f"{key}={_shown(value)}" for key, value in rest.items())
    click.echo(f"{time} {unit} {event} {click.style(said, fg='bright_black')}".rstrip())
    if trace:
        click.echo(click.style(str(trace), fg="red"))


def as_json(found: Record) -> None:
    """Print one record as one line of JSON."""
    moment = datetime.fromtimestamp(found.time_s, UTC).isoformat(timespec="milliseconds")
    known = {"time": moment, "unit": found.unit, "level": found.level, "event": found.event}
    click.echo(orjson.dumps({**known, **dict(found.fields)}))


def _shown(value: object) -> str:
    text = str(value)
    return repr(text) if " " in text or not text else text
