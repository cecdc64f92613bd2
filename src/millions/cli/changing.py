"""Changing what should run: write it, wake the supervisor, wait, and go back when it fails.

One command at a time per stack. Whatever fails before `desired.json` is written has changed
nothing; what fails after is answered by writing the former one again.
"""

from __future__ import annotations

import dataclasses
import fcntl
import os
import signal
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from millions.cli import returning
from millions.cli.climbing import record as climbs
from millions.errors import ClimbError, MillionsError, ReleaseError, StateError, UnitFailedError
from millions.runtime import desired as desireds
from millions.runtime import status as statuses
from millions.runtime import supervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from millions.cli.progress import Progress
    from millions.model import Unit
    from millions.runtime.desired import Desired
    from millions.runtime.state import StateFolder
    from millions.runtime.status import Status

LOOK_S = 0.02
"""Between two looks at status.json."""

SUPERVISOR_GONE_S = 5.0
"""A supervisor that does not live this long into a wait is started again."""

SLACK_S = 30.0
"""Added to the bounds of the units, for a busy machine."""


@contextmanager
def alone(state: StateFolder, *, during_climb: bool = False) -> Generator[None]:
    """Hold the stack for one command. Raise StateError when another one holds it.

    Raise ClimbError while a climb is not at its end, unless the command may be given then.
    """
    path = state.path / "command.lock"
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(file, 32, 0).decode(errors="replace") or "?"
            raise StateError(
                cannot=f"change the stack {state.identity.name}",
                because=f"another command is changing it (pid {holder})",
                try_="wait until it is done, or millions status --watch",
            ) from None
        os.ftruncate(file, 0)
        os.pwrite(file, str(os.getpid()).encode(), 0)
        if not during_climb:
            _no_climb(state)
        yield
    finally:
        os.close(file)


def _no_climb(state: StateFolder) -> None:
    climb = climbs.read(state)
    if climb is not None:
        raise ClimbError(
            cannot=f"change the stack {state.identity.name}",
            because=f"a climb from rung {climb.ends[0]} to {climb.ends[1]} is not at its end",
            try_="millions climb --resume, or millions climb --undo",
        )


def current(state: StateFolder) -> Desired | None:
    """What should run now; None when nothing should."""
    found = last(state)
    return found if found is not None and found.units else None


def last(state: StateFolder) -> Desired | None:
    """What was asked for last; None when nothing ever was."""
    return desireds.read(state.desired)


def change(state: StateFolder, wanted: Desired, progress: Progress) -> Status:
    """Make `wanted` so and wait until it is (blocking).

    Raise UnitFailedError or ReleaseError when it cannot be; what ran before runs again then.
    """
    with undone(state, current(state), progress):
        return written(state, wanted, progress)


@contextmanager
def undone(
    state: StateFolder,
    former: Desired | None,
    progress: Progress,
    *,
    unless: Callable[[], bool] = lambda: False,
) -> Generator[None]:
    """Whatever breaks the block off: let `former` run again, and wait until it does (blocking).

    `unless` is asked then whether it stays as far as it came. A consent to erase was about what
    `former` came from: since then, there may be data again. Where going back could lose data it
    does not, and what was asked for goes on.
    """
    try:
        yield
    except BaseException:
        now = last(state)
        begun = former is not None and now is not None and now.generation != former.generation
        if former is not None and now is not None and begun and not unless():
            back = dataclasses.replace(former, generation=now.generation + 1, consent=())
            try:
                returning.prepare(state, now, former, progress)
                written(state, back, progress)
            except MillionsError as error:
                said = f"cannot {error.cannot}: {error.because} (try: {error.try_})"
                progress.tell(f"what ran before does not run again: {said}")
            except OSError as error:
                progress.tell(f"what ran before does not run again: {error}")
        raise


def written(state: StateFolder, wanted: Desired, progress: Progress) -> Status:
    """Write what is wanted, wake the supervisor, and wait until it is so (blocking)."""
    desireds.write(state.desired, wanted)
    with suppress(ProcessLookupError):
        os.kill(supervisor.ensure(state), signal.SIGHUP)
    return wait(state, wanted, progress)


def wait(state: StateFolder, wanted: Desired, progress: Progress) -> Status:
    """Wait until `wanted` is so (blocking). Raise when a unit fails or the bound is reached."""
    deadline = time.monotonic() + bound_s(wanted.units)
    alive_until = time.monotonic() + SUPERVISOR_GONE_S
    while time.monotonic() < deadline:
        status = statuses.read(state.status)
        if status is not None and status.generation == wanted.generation:
            progress.show(status)
            if status.failed:
                raise _failure(state, wanted, status)
            if status.settled:
                return status
        if time.monotonic() > alive_until:
            alive_until = time.monotonic() + SUPERVISOR_GONE_S
            supervisor.ensure(state)
        time.sleep(LOOK_S)
    raise UnitFailedError(
        cannot=f"bring up the stack {state.identity.name}",
        because=f"it was not ready after {bound_s(wanted.units):.0f} s",
        try_="millions status, millions logs",
    )


def bound_s(units: tuple[Unit, ...]) -> float:
    """How long a change to these units may take at most."""
    total_s = SLACK_S
    for unit in units:
        total_s += sum(each.timeout_s for each in unit.prepare)
        total_s += unit.probe.within_s if unit.probe else 0.0
        total_s += sum(step.wait_s for step in unit.stop)
    return total_s


def _failure(state: StateFolder, wanted: Desired, status: Status) -> MillionsError:
    name = status.failed[0]
    said = next((unit for unit in status.units if unit.name == name), None)
    because = said.why if said is not None and said.why else "it did not become ready"
    release = next((unit.release for unit in wanted.units if unit.name == name), "")
    try_ = f"millions -C {state.identity.stack_file} logs --unit {name}"
    if release:
        return ReleaseError(cannot=f"release {release} to {name}", because=because, try_=try_)
    return UnitFailedError(cannot=f"start {name}", because=because, try_=try_)
