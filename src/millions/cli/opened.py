"""The stack that a command is about: its file, what it says, its state folder on this machine."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from millions import stack as stacks
from millions.errors import NotRunningError, StackFileError
from millions.runtime import state as states

if TYPE_CHECKING:
    import click

    from millions.runtime.state import StateFolder
    from millions.stack import Stack

FILE_BYTES_MAX = 1_048_576
"""A stack file is a few kilobytes; more is another file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A stack file that was read, and the state folder of its stack.

    `between` says that the stack is one on the way of a climb, which no file holds.
    """

    file: Path
    stack: Stack
    state: StateFolder
    between: bool = False

    @property
    def folder(self) -> Path:
        """The application's folder."""
        return self.file.parent


def stack_file(ctx: click.Context) -> Path:
    """Answer the absolute path of the stack file that the command line means; it exists."""
    given = ctx.find_root().obj
    if isinstance(given, str):
        path = Path(given).expanduser().absolute()
        path = path / stacks.FILE_NAME if path.is_dir() else path
        if path.is_file():
            return Path(os.path.normpath(path))
        raise StackFileError(
            cannot=f"read {given}", because="there is no such file", try_="millions new NAME"
        )
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / stacks.FILE_NAME).is_file():
            return folder / stacks.FILE_NAME
    raise StackFileError(
        cannot="find a stack",
        because=f"neither {here} nor a folder above it has a {stacks.FILE_NAME}",
        try_="millions -C FOLDER …, or millions new NAME",
    )


def read(file: Path) -> Stack:
    """Read and check the stack file (blocking). Raise StackFileError."""
    try:
        if file.stat().st_size > FILE_BYTES_MAX:
            raise StackFileError(
                cannot=f"read {file}",
                because=f"it has {file.stat().st_size} bytes, a stack file a few thousand",
                try_="millions -C FILE with the stack file",
            )
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise StackFileError(cannot=f"read {file}", because=reason, try_="mend the file") from error
    return stacks.parse(text, source=str(file))


def open_stack(ctx: click.Context) -> Opened:
    """Read the stack file and open its state folder, made when it is missing."""
    file = stack_file(ctx)
    stack = read(file)
    earlier = find_state(file)
    if earlier is not None and earlier.identity.name != stack.name:
        raise StackFileError(
            cannot=f"read {file}",
            because=f"[app] name is {stack.name!r}, and this stack has run as "
            f"{earlier.identity.name!r}, where its data is",
            try_=f'name = "{earlier.identity.name}", or a copy of the folder for a new stack',
        )
    return Opened(file=file, stack=stack, state=earlier or states.create(stack.name, file))


def find_state(file: Path) -> StateFolder | None:
    """Open the state folder of the stack of `file`, whatever the file says now; None if none."""
    ending = states.folder_for("", file).name
    for path in sorted(states.state_root().glob(f"*{ending}")):
        if (path / "stack.json").exists():
            return states.open_folder(path)
    return None


def running_state(ctx: click.Context) -> StateFolder:
    """Open the state folder of a stack that has run here, even when its file is wrong by now."""
    file = stack_file(ctx)
    state = find_state(file)
    if state is None:
        raise NotRunningError(
            cannot=f"find the stack of {file}",
            because="it has never run on this machine as this user",
            try_="millions up",
        )
    return state
