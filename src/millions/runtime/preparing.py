"""Preparations: commands that must have succeeded once before a unit starts.

A preparation outlives the supervisor: it leaves its own mark when it has succeeded, so that the
next supervisor needs only to wait for its end. Never runs two of one unit at a time.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import shutil
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from millions.errors import MillionsError
from millions.runtime import burial, processes, reaper, spawn
from millions.runtime.record import PreparationRecord
from millions.runtime.watch import when_ended

if TYPE_CHECKING:
    from pathlib import Path

    from millions.model import Preparation, Unit
    from millions.runtime.crew import Crew
    from millions.runtime.state import StateFolder

SCRIPT = '"$@" && : > "$0"'
"""Run by /bin/sh: the command, then the mark."""


def marker(folder: Path, key: str) -> Path:
    """The file that says that the preparation with this key has succeeded for the unit."""
    return folder / "prepared" / hashlib.sha256(key.encode()).hexdigest()[:32]


def forget(state: StateFolder) -> None:
    """Forget what was prepared in the data of others (blocking), some of which is erased.

    What holds data was prepared in its own.
    """
    for folder in state.units.iterdir():
        if not (folder / "data").is_dir():
            shutil.rmtree(folder / "prepared", ignore_errors=True)


def begin(crew: Crew, name: str, spec: Unit, preparation: Preparation, *, why: str) -> None:
    """Begin a preparation. What keeps it from starting becomes trouble of the revision."""
    number = crew.ledger.get(name).starts + 1
    try:
        folder = crew.state.prepare_unit(name, holds_data=spec.holds_data)
        journal = crew.journals.of(name, spec)
        output = journal.open_raw(
            number,
            f"prepares {preparation.name}: {why}",
            revision=spec.revision,
            release=spec.release,
        )
    except OSError as error:
        burial.blame(crew, name, spec.revision, words=str(error), grave=True)
        return
    crew.ledger.change(
        name,
        starts=number,
        generation=crew.generation,
        preparing=PreparationRecord(
            number=number, spec=spec, key=preparation.key, since_s=time.time()
        ),
    )
    command = ("/bin/sh", "-c", SCRIPT, str(marker(folder, preparation.key)), *preparation.command)
    _launch(crew, spawn.Launch(state=crew.state, spec=spec, number=number, output=output), command)


def _launch(crew: Crew, start: spawn.Launch, command: tuple[str, ...]) -> None:
    """Start the command of the preparation that was recorded."""
    name = start.spec.name
    try:
        identity = spawn.launch(start, command)
    except MillionsError as error:
        crew.ledger.change(name, preparing=None)
        burial.blame(crew, name, start.spec.revision, words=str(error), grave=True)
        return
    finally:
        spawn.close(start.output)
    running = crew.ledger.get(name).preparing
    if running is not None:
        crew.ledger.change(name, preparing=dataclasses.replace(running, identity=identity))
        resume(crew, name)


def resume(crew: Crew, name: str) -> None:
    """Wait for the preparation that runs, and record how it ended."""
    crew.spawn_task(_await(crew, name))


async def _await(crew: Crew, name: str) -> None:
    running = crew.ledger.get(name).preparing
    if running is None:
        return
    said = "" if running.identity is None else await _end(crew, running)
    await burial.end_leftovers(crew, name, running.number)
    journal = crew.journals.of(name, running.spec)
    journal.finish(running.number)
    if not marker(crew.state.unit(name), running.key).exists():
        preparation = next((p for p in running.spec.prepare if p.key == running.key), None)
        title = preparation.name if preparation is not None else running.key
        last = journal.tail(running.number, burial.LAST_LINES)
        words = "\n".join((f"preparation {title} {said or 'did not begin'}", *last))
        burial.blame(crew, name, running.spec.revision, words=words, grave=True)
    crew.ledger.change(name, preparing=None)


async def _end(crew: Crew, running: PreparationRecord) -> str:
    """Wait for the end of a preparation, kill it when it takes too long; how it ended, in words."""
    if running.identity is None:
        return ""
    ended = asyncio.Event()
    when_ended(running.identity, ended.set)
    timeout_s = next((p.timeout_s for p in running.spec.prepare if p.key == running.key), 0.0)
    try:
        await asyncio.wait_for(ended.wait(), max(0.0, running.since_s + timeout_s - time.time()))
    except TimeoutError:
        while not ended.is_set():  # one that the kernel holds ends later, and is waited for
            processes.kill_tree(running.identity)
            with suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), processes.KILL_WAIT_S)
        crew.reaper.code(running.identity.pid)
        return f"took longer than {timeout_s:g} s"
    return reaper.said(crew.reaper.code(running.identity.pid))
