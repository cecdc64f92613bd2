"""Says what happens while a command waits: one line for each thing that changes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

import click
from rich.console import Console
from rich.markup import escape

if TYPE_CHECKING:
    from rich.status import Status as Spinner

    from millions.runtime.status import Status, UnitStatus

COLOURS = {"ready": "green", "failing": "red", "unready": "red"}
SPOKEN_OF = frozenset({"preparing", "starting", "ready", "unready", "stopping", "failing"})


class Progress:
    """Follows the status of a stack on standard error; silent for programs.

    `brief` says only what stays on the screen, where something else is drawn below it.
    """

    def __init__(self, *, silent: bool = False, brief: bool = False) -> None:
        self._silent, self._brief = silent, brief
        self._seen: dict[str, str] = {}
        self._began_s = time.monotonic()
        self._began_at_s = time.time()
        console = Console(stderr=True, highlight=False)
        self._spinner: Spinner | None = None
        if console.is_terminal and not silent and not brief:
            self._spinner = console.status("")

    def __enter__(self) -> Self:
        if self._spinner:
            self._spinner.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._spinner:
            self._spinner.stop()

    def say(self, text: str) -> None:
        """Say what is done now."""
        if self._spinner:
            self._spinner.update(escape(text))
        elif not self._silent and not self._brief:
            click.echo(f"  {text}", err=True)

    def tell(self, text: str) -> None:
        """Say what was found; it stays on the screen."""
        if not self._silent:
            click.echo(f"  {text}", err=True)

    def show(self, status: Status) -> None:
        """Say what has changed since the status that was shown before."""
        for unit in status.units:
            self._show_unit(unit)
        if self._spinner:
            waiting = [
                f"{unit.name} {unit.phase}" for unit in status.units if unit.phase != "ready"
            ]
            self._spinner.update(escape(", ".join(waiting)))

    def _show_unit(self, unit: UnitStatus) -> None:
        now = f"{unit.phase} {unit.release}"
        if self._silent or self._brief or self._seen.get(unit.name) == now:
            return
        ran_before = unit.name not in self._seen and unit.since_s < self._began_at_s
        self._seen[unit.name] = now
        if unit.phase not in SPOKEN_OF or (ran_before and unit.phase == "ready"):
            return
        phase = click.style(f"{unit.phase:<10}", fg=COLOURS.get(unit.phase))
        elapsed_s = time.monotonic() - self._began_s
        click.echo(f"  {unit.name:<16}{phase}{unit.release:<14}{elapsed_s:6.1f} s", err=True)
