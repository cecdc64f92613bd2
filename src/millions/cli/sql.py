"""`millions sql`."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from millions.cli.opened import running_state
from millions.cli.running import required
from millions.errors import MachineError, NotRunningError

if TYPE_CHECKING:
    from millions.directory import DatabasePlace
    from millions.runtime.desired import Desired

PROGRAM = "psql"
KEPT = ("TERM", "LANG", "LC_ALL", "PAGER", "EDITOR", "HOME", "COLUMNS", "LINES", "PSQLRC")
PASSWORD_ESCAPES = str.maketrans({"\\": r"\\", ":": r"\:"})


@click.command("sql")
@click.argument("statement", required=False)
@click.option("--csv", "as_csv", is_flag=True, help="Print the rows as CSV.")
@click.pass_context
def command(ctx: click.Context, *, statement: str | None, as_csv: bool) -> int:
    """Open psql on the stack's database, or run one statement.

    As the application's role, which owns its tables. The exit status is psql's.
    """
    desired = required(running_state(ctx))
    if desired.directory is None:
        raise NotRunningError(
            cannot="open the database",
            because="the stack has none",
            try_="millions plan",
        )
    place = desired.directory.database
    with tempfile.TemporaryDirectory(prefix="millions-sql-") as folder:
        variables = _variables(place, Path(folder))
        arguments = [_program(desired), "--no-password", *(["--csv"] if as_csv else [])]
        if statement is not None:
            arguments += ["-v", "ON_ERROR_STOP=1", "-c", statement]
        ran = subprocess.run(arguments, env=variables, check=False)
    return ran.returncode


def _variables(place: DatabasePlace, folder: Path) -> dict[str, str]:
    """The environment of psql: where the members are, and a file with the password.

    psql asks one after the other until one is the primary.
    """
    shard = place.shards[0]
    members = (shard.primary, *shard.replicas)
    password = Path(place.password_file).read_text(encoding="utf-8").strip()
    file = folder / "password"
    file.touch(mode=0o600)
    lines = (
        f"{each.host}:{each.port}:{place.name}:{place.user}:{password.translate(PASSWORD_ESCAPES)}"
        for each in members
    )
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return {name: os.environ[name] for name in KEPT if name in os.environ} | {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        "PGHOST": ",".join(each.host for each in members),
        "PGPORT": ",".join(str(each.port) for each in members),
        "PGTARGETSESSIONATTRS": "read-write",
        "PGDATABASE": place.name,
        "PGUSER": place.user,
        "PGPASSFILE": str(file),
        "PGAPPNAME": "millions sql",
        "PGCONNECT_TIMEOUT": "10",
    }


def _program(desired: Desired) -> str:
    """The psql beside the server that runs: its folder is the first of the unit's PATH."""
    for unit in desired.units:
        program = shutil.which(PROGRAM, path=dict(unit.environment).get("PATH", ""))
        if unit.holds_data and program is not None:
            return program
    raise MachineError(
        cannot="open psql",
        because=f"{PROGRAM} is not beside the server's own programs",
        try_="install the client of the PostgreSQL that [database] bin names",
    )
