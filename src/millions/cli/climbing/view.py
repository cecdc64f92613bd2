"""Shows a climb: a live picture in a terminal, lines elsewhere, nothing for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import click
from rich.console import Console
from rich.live import Live

from millions.cli.climbing.picture import MARKS, picture
from millions.drill.report.words import milliseconds

if TYPE_CHECKING:
    from millions.cli.climbing.seen import Seen

LINE_EVERY_S = 5.0
SAID = {"began": "begins", "ended": "is done", "failed": "failed", "undone": "is undone"}


class View(Protocol):
    """What shows a climb; called about four times a second, and once at the end."""

    def show(self, seen: Seen) -> None:
        """Show what is seen now."""

    def close(self) -> None:
        """Show no more."""


def drawn() -> View | None:
    """Answer the view for people at a terminal; None where standard error is none."""
    console = Console(stderr=True, highlight=False)
    return Picture(console) if console.is_terminal else None


def chosen(*, silent: bool = False) -> View:
    """Answer the view that fits where standard error goes."""
    if silent:
        return Nothing()
    return drawn() or Lines()


class Nothing:
    """For programs."""

    def show(self, seen: Seen) -> None:
        """Show nothing."""

    def close(self) -> None:
        """Nothing is open."""


class Picture:
    """For people at a terminal; what others print appears above it."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False, redirect_stdout=False)
        self._live.start()

    def show(self, seen: Seen) -> None:
        """Draw it anew."""
        self._live.update(picture(seen), refresh=True)

    def close(self) -> None:
        """Leave the last picture on the screen."""
        self._live.stop()


class Lines:
    """For logs: a line for each step, and one with the requests every few seconds."""

    def __init__(self) -> None:
        self._events = 0
        self._last_s = 0.0

    def show(self, seen: Seen) -> None:
        """Print what is new."""
        for each in seen.events[self._events :]:
            if each.kind == "step" and each.state in SAID:
                mark = MARKS[each.state][0]
                said = f"  {mark} {each.name} {SAID[each.state]}"
                click.echo(f"{said}: {each.why}" if each.why else said, err=True)
        self._events = len(seen.events)
        if seen.now_s - self._last_s >= LINE_EVERY_S:
            self._last_s = seen.now_s
            told = seen.told
            click.echo(
                f"  {seen.now_s - seen.began_at_s:5.0f} s  rung {seen.standing}"
                f"  {told.rate:4.0f}/s  p50 {milliseconds(told.p50)}  p99 {milliseconds(told.p99)}"
                f"  {told.failed:,} failed  longest pause {milliseconds(told.pause_s or 0.0)}",
                err=True,
            )

    def close(self) -> None:
        """Nothing is open."""
