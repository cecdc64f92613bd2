"""Releases: a copy of the application, its built assets, and the [app] table it was made with."""

from __future__ import annotations

import dataclasses
import os
import time
from typing import TYPE_CHECKING

from millions import stack as stacks
from millions.cli import canary, changing, checks, holding, own_releases, placed, stages
from millions.cli.running import release_of
from millions.errors import MillionsError, ReleaseError, StackFileError
from millions.runtime import files, releases
from millions.runtime.desired import Desired
from millions.sdk import assets_built

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from millions.cli.opened import Opened
    from millions.cli.progress import Progress
    from millions.runtime.state import StateFolder
    from millions.runtime.status import Status

RUNS_BY = "running.toml"
UNASKED_S = 1.0
"""By then nobody asks a server that the directory names no more, and what was asked is answered."""

OPEN_UMASK = 0o022
"""What is served to everybody may be read by the units' user."""


def application_folder(opened: Opened) -> Path:
    """Answer the folder that a release is a copy of. Raise StackFileError when it is none."""
    app = opened.stack.app
    folder = opened.folder / app.folder
    static = folder / app.static
    for what, path in (("folder", folder), ("static", static)):
        if not path.is_dir():
            raise StackFileError(
                cannot=f"read {opened.file}",
                because=f"[app] {what}: {path} is not a folder",
                try_=f"mkdir {path}, or mend {what}",
            )
    return folder


def make(opened: Opened) -> str:
    """Make a release of the application as it is now (blocking); answer its name."""
    folder = application_folder(opened)
    return releases.snapshot(opened.state, folder, exclude=_excluded(opened)).name


def planned(opened: Opened) -> str:
    """Answer the name of the release that `make` would make (blocking)."""
    folder = application_folder(opened)
    return releases.named(opened.state, folder, exclude=_excluded(opened))


def remember(opened: Opened, release: str, only: str = "") -> None:
    """Keep what the stack file said of a release that became ready, for a rollback to it.

    `only`: in this tier alone; it is no release to go back to in another one.
    """
    tiers = {*_tiers(opened.state, release), only}
    everywhere = not only or release in proven(opened.state)
    text = opened.file.read_text(encoding="utf-8")
    keep(opened.state, release, text)
    files.write(_kept_only(opened.state, release), "" if everywhere else " ".join(sorted(tiers)))
    note(opened.state, text)


def keep(state: StateFolder, release: str, text: str) -> None:
    """Keep the text whose [app] table a release runs with."""
    kept = _kept(state, release)
    files.make_folder(kept.parent)
    files.write(kept, text)


def note(state: StateFolder, text: str) -> None:
    """Keep the text of the stack file by which the stack runs now."""
    files.write(state.path / RUNS_BY, text)


def noted(state: StateFolder, release: str) -> str | None:
    """Answer the text by which the stack runs; None when it was not kept."""
    for path in (state.path / RUNS_BY, _kept(state, release)):
        if path.exists():
            return path.read_text(encoding="utf-8")
    return None


def known(state: StateFolder) -> tuple[str, ...]:
    """The releases that have been ready somewhere and are kept, newest first."""
    return tuple(each.name for each in releases.listed(state) if _kept(state, each.name).exists())


def proven(state: StateFolder, only: str = "") -> tuple[str, ...]:
    """Those of them that have been ready everywhere, or in this tier."""
    return tuple(each for each in known(state) if only in (_tiers(state, each) or {only}))


def desired(opened: Opened, release: str, own: Mapping[str, str] | None = None) -> Desired:
    """Answer what should run with this release, checked against this machine.

    `own` are the releases of tiers that run another one; where it is None, those noted beside it.
    """
    places = placed.places(opened, release=release, own=own)
    stacks.check(opened.stack, places, lambda unit, name: placed.read_data(opened, unit, name))
    former = changing.last(opened.state)
    directory = stacks.directory(opened.stack, places, epoch=1, name=opened.state.name)
    return Desired(
        generation=former.generation + 1 if former else 1,
        units=stacks.units(opened.stack, places),
        directory=directory,
        secrets=opened.stack.secrets,
        certificates=stacks.certificates(opened.stack, places),
        scaling=stacks.scaling(opened.stack, places),
    )


def roll_out(
    opened: Opened,
    release: str,
    progress: Progress,
    *,
    own: Mapping[str, str] | None = None,
    carefully: bool = False,
    unless: Callable[[], bool] = lambda: False,
) -> Status:
    """Make this release, and what the stack file says, run (blocking).

    `own` are the releases of tiers that run another one, as in `desired`. `carefully`: on one of
    several servers first, where its errors and latency are watched. What cannot be is found out
    before anything is changed, or is undone, unless `unless` says then that it must not be.
    """
    former = changing.current(opened.state)
    wanted = desired(opened, release, own)
    checks.before_change(opened, wanted)
    build_assets(opened, release)
    try:
        with changing.undone(opened.state, former, progress, unless=unless):
            wanted = _staged(opened, wanted, former, progress)
            if carefully:
                wanted = _tried(opened, wanted, former, progress)
            status = changing.written(opened.state, wanted, progress)
    except BaseException:
        if former is not None:
            _rebuild_assets(opened, release_of(former), progress)
        raise
    noted = own_releases.read(opened.state, release).values()
    releases.prune(opened.state, running={*_running(former, wanted), *noted})
    return status


def _running(*stacks_: Desired | None) -> set[str]:
    """The releases of some stacks, which are not erased."""
    return {unit.release for each in stacks_ if each is not None for unit in each.units}


def _staged(opened: Opened, wanted: Desired, former: Desired | None, progress: Progress) -> Desired:
    """Go through the steps that must come before; answer what is wanted after that."""
    running = former
    for units in stages.before(former, wanted):
        step = dataclasses.replace(wanted, units=units, directory=stages.directory(former, wanted))
        step = holding.before(opened.state, running, step, progress)
        changing.written(opened.state, step, progress)
        if former is not None and units == former.units:
            time.sleep(UNASKED_S)
        running = step
        wanted = dataclasses.replace(wanted, generation=step.generation + 1)
    last = holding.before(opened.state, running, wanted, progress)
    if last is wanted:
        return wanted
    changing.written(opened.state, last, progress)
    return dataclasses.replace(wanted, generation=last.generation + 1)


def _tried(opened: Opened, wanted: Desired, former: Desired | None, progress: Progress) -> Desired:
    """Try the release on one server, where there are others; answer what is wanted after that."""
    release = release_of(wanted)
    places = placed.places(opened, release=release)
    chosen = stacks.canary(opened.stack, places)
    if chosen is None or former is None or not canary.before_others(wanted, former, chosen):
        return wanted
    progress.tell(canary.tried(opened, wanted, former, chosen, progress))
    return dataclasses.replace(wanted, generation=wanted.generation + 1)


def build_assets(opened: Opened, release: str) -> None:
    """Build the static files of a release beside those of the others; its manifest counts now."""
    static = opened.stack.app.static
    if not static:
        return
    before = os.umask(OPEN_UMASK)
    try:
        source = opened.state.releases / release / static
        assets_built.build(source, placed.assets_folder(opened))
    finally:
        os.umask(before)


def _rebuild_assets(opened: Opened, release: str, progress: Progress) -> None:
    """Let the static files of a release that goes on count again, where it was ever ready."""
    try:
        build_assets(as_released(opened, release), release)
    except MillionsError as error:
        progress.tell(f"cannot {error.cannot}: {error.because}")


def as_released(opened: Opened, release: str) -> Opened:
    """Answer the stack with the [app] table that `release` was made with."""
    text = kept_text(opened.state, release)
    app = stacks.parse(text, source=f"the stack file of {release}").app
    return dataclasses.replace(opened, stack=dataclasses.replace(opened.stack, app=app))


def kept_text(state: StateFolder, release: str) -> str:
    """Answer what the stack file said of a release that was ready. Raise ReleaseError."""
    kept = _kept(state, release)
    if not kept.exists():
        raise ReleaseError(
            cannot=f"go back to {release}",
            because="what its stack file said was not kept",
            try_="millions deploy",
        )
    return kept.read_text(encoding="utf-8")


def _excluded(opened: Opened) -> tuple[str, ...]:
    """What is left out of releases: what the stack file says, itself, and the files of secrets.

    A release is the application: more servers or another port do not make another one.
    """
    app = opened.stack.app
    own = [opened.file.name, *(each.file for each in app.secrets.values() if each.file)]
    return (*app.exclude, *(os.path.relpath(each, app.folder or ".") for each in own))


def _kept(state: StateFolder, release: str) -> Path:
    return state.path / "stack-files" / f"{release}.toml"


def _kept_only(state: StateFolder, release: str) -> Path:
    return _kept(state, release).with_suffix(".only")


def _tiers(state: StateFolder, release: str) -> frozenset[str]:
    """The tiers that alone have run a release; none when all have."""
    path = _kept_only(state, release)
    return frozenset(path.read_text(encoding="utf-8").split() if path.exists() else ())
