"""`millions version`."""

from __future__ import annotations

import json
import platform

import click

from millions import __version__


@click.command("version")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def command(*, as_json: bool) -> None:
    """Say the version."""
    if as_json:
        said = {"millions": __version__, "python": platform.python_version()}
        click.echo(json.dumps(said))
    else:
        click.echo(f"millions {__version__}")
