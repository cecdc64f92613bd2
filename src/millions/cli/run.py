"""`millions run`."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import click

from millions.cli import releasing
from millions.cli.opened import open_stack, running_state
from millions.cli.running import required
from millions.errors import MachineError, MillionsError, NotRunningError
from millions.runtime.spawn import Launch, environment

if TYPE_CHECKING:
    from millions.model import Unit
    from millions.runtime.desired import Desired
    from millions.runtime.state import StateFolder

PASSED_ON = ("TERM", "COLUMNS", "LINES", "LANG", "LC_ALL", "NO_COLOR", "TZ")
"""What a program on a terminal needs of our own environment; a unit gets none of it."""


@click.command("run", context_settings={"ignore_unknown_options": True})
@click.option("--here", is_flag=True, help="In the application's folder, as yourself.")
@click.argument("arguments", nargs=-1, required=True, type=click.UNPROCESSED, metavar="CMD...")
@click.pass_context
def command(ctx: click.Context, *, here: bool, arguments: tuple[str, ...]) -> None:
    """Run a command inside the stack's environment: a migration, a script.

    It runs in the folder of the release, with its variables and secrets, as the user that units run
    as. CMD is a program, or a package of the application that has a __main__. With --here it runs
    in the folder that you edit, which `alembic revision` needs. The exit status is the command's.
    """
    state = running_state(ctx)
    unit = _unit(required(state))
    folder = Path(unit.working_folder)
    if here:
        folder = releasing.application_folder(open_stack(ctx))
    variables = _variables(state, unit, folder)
    argv = _argv(arguments, folder, variables["PATH"])
    os.chdir(folder)
    if state.account is not None and not here:
        os.setgroups([])
        os.setgid(state.account.gid)
        os.setuid(state.account.uid)
    os.execve(argv[0], argv, variables)  # noqa: S606  # this is what it is for


def _unit(desired: Desired) -> Unit:
    """The unit that runs the application."""
    found = next((unit for unit in desired.units if unit.release), None)
    if found is None:
        raise NotRunningError(
            cannot="run a command as the application does",
            because="no unit of the stack runs the application",
            try_="millions up",
        )
    return found


def _variables(state: StateFolder, unit: Unit, folder: Path) -> dict[str, str]:
    launch = Launch(state=state, spec=unit, number=0, output=-1)
    found = environment(launch) | {"MILLIONS_UNIT": "run", "PYTHONPATH": str(folder)}
    return found | {name: os.environ[name] for name in PASSED_ON if name in os.environ}


def _argv(arguments: tuple[str, ...], folder: Path, path: str) -> list[str]:
    """The program's path and its arguments. Raise MachineError when there is no such program."""
    name, *rest = arguments
    inside = folder / name
    found = str(inside) if "/" in name and inside.exists() else shutil.which(name, path=path)
    if found:
        return [found, *rest]
    if (inside / "__main__.py").exists():
        python = shutil.which("python", path=path) or shutil.which("python3", path=path)
        if python:
            return [python, "-m", name, *rest]
    error: MillionsError = MachineError(
        cannot=f"run {name}",
        because=f"there is no such program on {path}, and no package {name} with a __main__ in "
        f"{folder}",
        try_="millions run python -m MODULE, or the path of the program",
    )
    raise error
