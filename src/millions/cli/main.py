"""The command `millions`: finds the verb, and says every error in three lines.

Imports a verb's module only when it is used, so that `millions version` answers at once.
"""

from __future__ import annotations

import errno
import json
import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING

import click

from millions.cli import exits, interrupts
from millions.errors import MachineError, MillionsError, StackFileError

if TYPE_CHECKING:
    from collections.abc import Sequence

VERBS = {
    "new": "Make a small working application in a new folder.",
    "up": "Start the stack, or change the running one to what the stack file says.",
    "down": "Stop the stack; its data stays.",
    "status": "Say what runs and how it is.",
    "plan": "Say what `up` would do and why; change nothing.",
    "deploy": "Release the application's current code without failing a request.",
    "climb": "Go to another rung or stack file, step by step, while everything goes on.",
    "apply": "Go from what runs to what the stack file says, step by step, as `climb` does.",
    "move": "Move the database to another, larger server while everything goes on.",
    "switchover": "Let another member of the database lead, on purpose.",
    "scale": "Change how many servers a tier has, without failing a request.",
    "backup": "Take a backup of the database now, and verify it.",
    "restore": "Restore the database as it was at one moment, into a new stack.",
    "tasks": "Say how tasks fare, show one, and let those that failed run again.",
    "purge": "Let edges forget a page, what has a tag, or everything.",
    "edge": "Say what edges gave and fetched, and what had better not go by them.",
    "logs": "Show the logs of all units, oldest first.",
    "run": "Run a command inside the stack's environment: a migration, a script.",
    "sql": "Open psql on the stack's database, or run one statement.",
    "cache": "Say what the cache answers, what it holds, and what more memory would bring.",
    "drill": "Break something on purpose while a checker records every answer.",
    "check": "Say which promises a history of operations breaks.",
    "doctor": "Say what this machine has and lacks for each rung.",
    "version": "Say the version.",
    "completion": "Print the completion script of a shell.",
}
"""The verbs in the order of the help page. Each is the module of its name beside this one."""

TRACEBACK_VARIABLE = "MILLIONS_TRACEBACK"
SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class UsageError(StackFileError):
    """The command line is wrong; it is answered like a stack file that is wrong."""


class Verbs(click.Group):
    """The group of verbs, each imported when it is first asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        """Answer the verbs in the order of the help page."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import one verb."""
        if cmd_name not in VERBS:
            return None
        command: click.Command = import_module(f"millions.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the list of verbs without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb; suggest the nearest one when there is none of that name."""
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            from millions.settings.reader import near  # noqa: PLC0415  # only when it is needed

            raise click.UsageError(f"there is no command {args[0]!r}: {near(args[0], VERBS)}", ctx)
        return super().resolve_command(ctx, args)


@click.group(cls=Verbs, context_settings=SETTINGS)
@click.option(
    "-C",
    "--stack",
    "stack_file",
    metavar="FILE",
    envvar="MILLIONS_STACK_FILE",
    help="The stack file, or its folder. Default: millions.toml here or in a folder above.",
)
@click.pass_context
def group(ctx: click.Context, stack_file: str | None) -> None:
    """Grow a Python web application from one server to millions of users."""
    ctx.obj = stack_file


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit."""
    interrupts.as_ctrl_c()
    sys.exit(run(sys.argv[1:] if arguments is None else list(arguments)))


def run(arguments: list[str]) -> int:
    """Run the command line and answer its exit status."""
    try:
        result = group.main(arguments, prog_name="millions", standalone_mode=False)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return exits.INTERRUPTED.status
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # whoever read our output has seen enough
        return exits.DONE.status
    except Exception as error:  # the last place; it is said, never swallowed
        if os.environ.get(TRACEBACK_VARIABLE):
            raise
        said = _as_ours(error)
        say(said, as_json="--json" in arguments)
        return exits.status_of(said)
    return result if isinstance(result, int) else exits.DONE.status


def say(error: MillionsError, *, as_json: bool = False) -> None:
    """Print an error: three lines for people, one object for programs; on standard error."""
    if as_json:
        fields = {"cannot": error.cannot, "because": error.because, "try": error.try_}
        click.echo(json.dumps({"error": {"code": error.code, **fields}}), err=True)
        return
    click.secho(f"cannot {error.cannot}", fg="red", bold=True, err=True)
    because = error.because.replace("\n", "\n    ")
    click.echo(f"  because: {because}", err=True)
    click.secho(f"  try: {error.try_}", fg="green", err=True)


def _as_ours(error: Exception) -> MillionsError:
    if isinstance(error, MillionsError):
        return error
    if isinstance(error, click.ClickException):
        return _of_usage(error)
    return _of_system(error) if isinstance(error, OSError) else _of_defect(error)


def _of_usage(error: click.ClickException) -> MillionsError:
    ctx = getattr(error, "ctx", None)
    path = ctx.command_path if isinstance(ctx, click.Context) else "millions"
    return UsageError(
        cannot="understand the command line", because=error.format_message(), try_=f"{path} --help"
    )


def _of_system(error: OSError) -> MillionsError:
    what = f"{error.strerror or error} ({error.filename})" if error.filename else str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        hint = "df -h, then make room; what runs was not changed"
    elif error.errno in (errno.EACCES, errno.EPERM):
        hint = "run it as the user who owns the stack, or set MILLIONS_HOME to a folder of yours"
    else:
        hint = "millions doctor"
    return MachineError(cannot="do this on this machine", because=what, try_=hint)


def _of_defect(error: Exception) -> MillionsError:
    return MillionsError(
        cannot="go on",
        because=f"a defect in millions: {type(error).__name__}: {error}",
        try_=f"{TRACEBACK_VARIABLE}=1 shows where; please report it",
    )


if __name__ == "__main__":
    main()
