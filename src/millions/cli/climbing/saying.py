"""What is printed of a climb: its steps before it goes, and what came of it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import click

from millions.cli.climbing import doing
from millions.climb.differences import touches
from millions.drill.climbs.document import document

if TYPE_CHECKING:
    from millions.cli.climbing.driven import Driven
    from millions.cli.climbing.record import Climb
    from millions.cli.opened import Opened
    from millions.drill.climbs.ascent import Ascent


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One step in words. `pause_s` is how long a write may wait meanwhile."""

    step: str
    rung_from: int
    rung_to: int
    why: str
    touches: str
    pause_s: float
    undo: str
    no_return: str


def told(opened: Opened, climb: Climb) -> tuple[Told, ...]:
    """Answer the steps that are still to go, in words (blocking)."""
    found: list[Told] = []
    before = doing.units(opened, climb.first, climb.release)
    for step in climb.steps:
        after = doing.units(opened, step.stack, climb.release)
        found.append(
            Told(
                step=step.name,
                rung_from=step.rung_from,
                rung_to=step.rung_to,
                why=step.why,
                touches=touches(before, after),
                pause_s=step.pause_s,
                undo=step.undo,
                no_return=step.no_return,
            )
        )
        before = after
    return tuple(found[climb.at :])


def steps(found: tuple[Told, ...], *, first: int = 1) -> None:
    """Print the steps for people."""
    for number, each in enumerate(found, start=first):
        click.secho(f"{number:>2}  {each.step}: {each.why}", bold=True)
        said = each.touches or "tells the web servers"
        pause = f"a write may wait {each.pause_s:g} s" if each.pause_s else "nothing waits"
        click.echo(f"      {said}; {pause}")
        click.echo(f"      undone by: {each.undo}")
        if each.no_return:
            click.echo(f"      no return: {each.no_return}")
    if not found:
        click.echo("nothing to do: what runs is what is wanted")


def outcome(
    climb: Climb,
    found: tuple[Told, ...],
    *,
    done: bool,
    took_s: float,
    driven: Driven | None = None,
) -> None:
    """Print what came of it as JSON, and of the load beside it where there was some."""
    said = {
        "rung_from": climb.ends[0],
        "rung_to": climb.ends[1],
        "steps": [asdict(each) for each in found],
        "done": done,
        "next": "" if done else next(iter(climb.names[climb.at :]), ""),
        "took_s": round(took_s, 1),
        "load": None if driven is None or driven.ascent is None else _load(driven, driven.ascent),
    }
    click.echo(json.dumps(said, indent=1))


def _load(driven: Driven, ascent: Ascent) -> dict[str, Any]:
    told = document(ascent)
    kept = {name: told[name] for name in ("well", "requests", "failed", "whole")}
    promises = {name: each["held"] for name, each in told["verdict"]["promises"].items()}
    return kept | {"promises": promises, "report": str(driven.page)}
