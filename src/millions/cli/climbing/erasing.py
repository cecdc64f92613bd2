"""What a step leaves behind is erased, once the engine proves that it is elsewhere.

What cannot be proven is kept, and said.
"""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING, Any, cast

import asyncpg

from millions.cli import changing, waiting
from millions.cli.moving import copies_left
from millions.cli.moving.site import administration
from millions.errors import ClimbError
from millions.runtime import files
from millions.tiers import seaweedfs
from millions.tiers.kind import MOVED_BACK
from millions.tiers.postgresql_standby import ADMINISTRATION_ROLE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from millions.cli.opened import Opened
    from millions.cli.progress import Progress
    from millions.runtime.state import StateFolder

ERASED_WITHIN_S = 600.0
ASKED_WITHIN_S = 60.0
FILES = "files"


def mark(state: StateFolder, names: Iterable[str]) -> None:
    """Write down beside the data of these units that it is elsewhere by now (blocking)."""
    for name in names:
        data = state.unit(name) / "data"
        if data.is_dir():
            files.write(data / MOVED_BACK, "what was here has gone back\n")


def marked(state: StateFolder, names: Iterable[str]) -> None:
    """Raise ClimbError when the data of one of these units is not known to be elsewhere."""
    for name in names:
        data = state.unit(name) / "data"
        if data.is_dir() and not (data / MOVED_BACK).exists():
            raise ClimbError(
                cannot=f"erase {name}",
                because=f"nothing proves that what is in {data} is elsewhere",
                try_="millions climb --undo",
            )


def erase(state: StateFolder, names: Iterable[str], progress: Progress) -> None:
    """Erase the folders of units that are not wanted any more (blocking, bounded).

    The consent to it ends with it: units of these names may have data again one day.
    """
    former = changing.last(state)
    there = tuple(name for name in names if state.unit(name).exists())
    if former is None or not there:
        return
    progress.tell(f"erases what {', '.join(there)} held; it is elsewhere")
    wanted = dataclasses.replace(former, generation=former.generation + 1, consent=there)
    changing.written(state, wanted, progress)

    def left() -> str:
        return ", ".join(name for name in there if state.unit(name).exists())

    def late(names: str) -> ClimbError:
        return ClimbError(
            cannot=f"erase {names}",
            because=f"their folders are there after {ERASED_WITHIN_S:g} s",
            try_="millions status, then millions climb --resume",
        )

    waiting.until(state, left, late, within_s=ERASED_WITHIN_S)
    kept = dataclasses.replace(wanted, generation=wanted.generation + 1, consent=())
    changing.written(state, kept, progress)


def index(state: StateFolder, tier: str) -> None:
    """Forget what the database knows of erased data (blocking, bounded). Raise ClimbError.

    The index of the files is there, and names places on their servers: with it they would be looked
    for, in vain, on servers that come one day.
    """
    if tier != FILES:
        return
    try:
        asyncio.run(_forget_files(state))
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise ClimbError(
            cannot="forget which files were on servers",
            because=str(error) or type(error).__name__,
            try_="millions status, then millions climb --resume",
        ) from error


async def _forget_files(state: StateFolder) -> None:
    running = changing.current(state)
    if running is None or running.directory is None:
        raise ConnectionError("the stack does not run")
    place = running.directory.database
    members = (place.shards[0].primary, *place.shards[0].replicas)
    password = administration(state).read_text(encoding="utf-8").strip()  # small
    connection: asyncpg.Connection[Any] = await asyncpg.connect(
        host=[each.host for each in members],
        port=[each.port for each in members],
        user=ADMINISTRATION_ROLE,
        password=password,
        database=place.name,
        target_session_attrs=cast("Any", "read-write"),
        timeout=ASKED_WITHIN_S,
    )
    try:
        forget = f"DROP SCHEMA IF EXISTS {seaweedfs.SCHEMA} CASCADE"
        await connection.execute(forget, timeout=ASKED_WITHIN_S)
    finally:
        await connection.close(timeout=ASKED_WITHIN_S)


def copies(opened: Opened, progress: Progress) -> None:
    """Erase copies of the database of which nothing runs, if its server has all of them (blocking).

    Nothing is erased while the database has members: their copies are theirs.
    """
    found = copies_left.copies(opened)
    for name in found.others:
        progress.tell(f"{name} keeps its data: not all of it is proven to be elsewhere")
    erase(opened.state, found.contained, progress)
