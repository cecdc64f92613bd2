"""What `make climb` does: an application's own copy goes up all rungs and down again, under load.

    python -m millions.cli.climbing.tour examples/photos

A throw-away stack with addresses and state of its own, so that one that runs is not disturbed; each
step is taken with `millions climb`, as a person would. Nothing of it is left but the report.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import signal
import sys
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from millions import rungs
from millions.cli import exits, interrupts
from millions.cli.climbing import killing, words
from millions.cli.climbing.driven import driven
from millions.cli.climbing.seen import Load
from millions.cli.main import say
from millions.drill import stage as stages
from millions.drill.perform import LOGS
from millions.drill.workloads.choice import OWN, TARGETS
from millions.errors import MillionsError

if TYPE_CHECKING:
    from millions.cli.climbing.driven import Driven
    from millions.drill.stage import Stage

STAY_S = 6.0
RATE_PER_S = 60.0
"""The photo-sharing application takes 10 ms of CPU a request: this leaves half of two cores free
for what is started."""


def main(arguments: list[str]) -> int:
    """Go up and down, say what came of it, and answer the exit status."""
    found = _arguments(arguments)
    interrupts.as_ctrl_c()
    try:
        return _tour(found)
    except KeyboardInterrupt:
        click.echo("interrupted; the throw-away stack is gone", err=True)
        return exits.INTERRUPTED.status
    except MillionsError as error:
        say(error)
        return exits.status_of(error)


def _arguments(arguments: list[str]) -> argparse.Namespace:
    up = sorted(rungs.BUILT - {1})
    way = [*up, *reversed([1, *up[:-1]])]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("application", type=Path, help="folder with a millions.toml")
    parser.add_argument("--way", type=_way, default=way, help="the rungs, one by one: 4,9,1")
    parser.add_argument("--stay", type=float, default=STAY_S, help="seconds on each rung")
    parser.add_argument("--drive", choices=list(TARGETS), default="photos")
    parser.add_argument("--path", action="append", default=[], help="a path to GET; for pages")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--rate", type=float, default=RATE_PER_S, help="requests a second, 0: all")
    parser.add_argument(
        "--kills",
        type=int,
        metavar="SEED",
        help="SIGKILL the command in each state of each step, at times by chance from SEED, and the"
        " supervisor every second time",
    )
    parser.add_argument("--out", type=Path, help="folder of the report")
    found = parser.parse_args(arguments)
    if not (found.application / "millions.toml").is_file():
        parser.error(f"there is no {found.application / 'millions.toml'}")
    return found


def _way(text: str) -> list[int]:
    """Read the rungs of `4,9,1`. Raise ArgumentTypeError for one that there is not."""
    built = ", ".join(map(str, sorted(rungs.BUILT)))
    try:
        found = [int(each) for each in text.split(",")]
    except ValueError:
        found = [0]
    if not rungs.BUILT.issuperset(found):
        raise argparse.ArgumentTypeError(f"{text!r}: these rungs there are: {built}")
    return found


def _tour(wanted: argparse.Namespace) -> int:
    file = wanted.application.absolute() / "millions.toml"
    source = tomllib.loads(file.read_text(encoding="utf-8"))
    folder = None if wanted.drive in OWN else file.parent
    root = stages.make_root()
    stage = stages.make(source, rung=1, folder=folder, root=root)
    found: Driven | None = None
    try:
        click.echo("a stack of its own comes up on rung 1", err=True)
        _do(stage, "up", "--detach")
        load = Load(
            workload=wanted.drive,
            clients=wanted.clients,
            rate_per_s=wanted.rate,
            paths=tuple(wanted.path),
        )
        name = source.get("app", {}).get("name", "") if folder is not None else ""
        with driven(
            stage.state, stage.address, load, rung=1, name=name, folder=wanted.out
        ) as found:
            _climb(stage, found, wanted)
    finally:
        _clear(stage, root, keep=found.folder if found is not None else None)
        well = _said(found)
    return exits.DONE.status if well else exits.BROKEN.status


def _said(found: Driven | None) -> bool:
    """Say what came of it, as far as it came; answer whether all is as promised."""
    if found is None or found.ascent is None:
        return False
    click.echo(words.outcome(found.ascent))
    click.echo(f"report: {found.page}")
    return found.ascent.well


def _climb(stage: Stage, found: Driven, wanted: argparse.Namespace) -> None:
    chance = None if wanted.kills is None else random.Random(wanted.kills)  # noqa: S311  # no secret
    found.stay(wanted.stay)
    for rung in wanted.way:
        found.say(f"climbs to rung {rung}")
        if chance is None:
            _do(stage, "climb", str(rung), "--yes", "--json")
        else:
            times = asyncio.run(killing.climb(stage, rung, chance=chance, say=found.say))
            click.echo(f"killed {times} times on the way to rung {rung}, and went on", err=True)
        found.say("looks around")
        found.stay(wanted.stay)


def _do(stage: Stage, *arguments: str) -> None:
    asyncio.run(stage.do(*arguments))


def _clear(stage: Stage, root: Path, *, keep: Path | None) -> None:
    """Take the stack down and erase it; a second Ctrl-C would leave it half stopped.

    What its units wrote goes into the folder `keep`, beside the report.
    """
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(MillionsError, TimeoutError, OSError):
        if keep is not None:
            (keep / LOGS).write_text(asyncio.run(stage.millions("logs")).out, encoding="utf-8")
    with suppress(MillionsError, TimeoutError):
        asyncio.run(stage.millions("down"))
    stages.erase(root)
    signal.signal(signal.SIGINT, before)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
