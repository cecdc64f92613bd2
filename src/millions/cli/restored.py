"""The new stack that a restore makes: a copy of the application, a stack file, a state folder.

Never touches the stack that the backup is of, but for asking its server to hand over what it wrote.
"""

from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING, Any

import tomlkit

from millions.cli import editing
from millions.cli.moving.servers import Server
from millions.cli.moving.site import administration, first_unit
from millions.cli.opened import Opened, find_state
from millions.cli.running import required
from millions.errors import BackupError, MachineError
from millions.model import Address
from millions.runtime import files, releases
from millions.runtime import state as states
from millions.runtime.ports import free_port
from millions.stack import parse
from millions.tiers import tiers

if TYPE_CHECKING:
    from pathlib import Path

    from millions.backup.catalog import Backup
    from millions.backup.place import Place
    from millions.cli.moving.servers import Connection

RUNG = 1
MIB = 1_048_576
ROOM_FACTOR = 1.5
"""Of the backup: the data folder, and the WAL that is replayed."""

HANDED_WITHIN_S = 15.0
LOOK_S = 0.1


def check(opened: Opened, folder: Path, backup: Backup) -> None:
    """Refuse a folder that is in use, an application outside of its folder, a disk too small."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BackupError(
            cannot=f"restore into {folder}",
            because="it exists and is not an empty folder",
            try_="--into a folder that does not exist",
        )
    left = find_state(folder / opened.file.name)
    if left is not None:
        raise BackupError(
            cannot=f"restore into {folder}",
            because=f"a stack was there before, whose data is in {left.path}",
            try_="--into another folder",
        )
    if folder.is_relative_to(opened.folder):
        raise BackupError(
            cannot=f"restore into {folder}",
            because="it lies in the folder of the stack itself, of which it gets a copy",
            try_=f"--into {opened.folder.parent}/restored",
        )
    if not (opened.folder / opened.stack.app.folder).resolve().is_relative_to(opened.folder):
        raise BackupError(
            cannot=f"copy the application into {folder}",
            because="[app] folder lies outside of the folder of the stack file",
            try_="a copy of both folders, and --into there by hand",
        )
    free = shutil.disk_usage(opened.state.path).free
    if free < backup.bytes * ROOM_FACTOR:
        raise MachineError(
            cannot="restore the database",
            because=f"{free // MIB} MiB are free, {int(backup.bytes * ROOM_FACTOR) // MIB} are "
            "needed",
            try_="df -h, then make room, or MILLIONS_HOME on another disk",
        )


async def hand_over(opened: Opened, where: Place) -> None:
    """Have what was written until now archived, if the stack runs (bounded)."""
    wanted = required(opened.state)
    if wanted.directory is None:
        return
    shard = wanted.directory.database.shards[0]
    for member in (shard.primary, *shard.replicas):
        address = Address(host=member.host, port=member.port)
        server = Server(address, administration(opened.state))
        try:
            segment = await server.ask(_switch)
        finally:
            await server.close()
        if segment:
            await _archived(where, segment)


async def _switch(connection: Connection) -> str:
    """End the segment that the primary writes; answer its name, '' of a standby.

    A commit comes before, so that something is known to be later than every moment until now.
    """
    if await connection.fetchval("SELECT pg_is_in_recovery()"):
        return ""
    await connection.execute("SELECT pg_current_xact_id()")
    return str(await connection.fetchval("SELECT pg_walfile_name(pg_switch_wal())"))


async def _archived(where: Place, segment: str) -> None:
    async with asyncio.timeout(HANDED_WITHIN_S):
        while not any(where.wal.glob(f"*/{segment}")):  # noqa: ASYNC110  # files
            await asyncio.sleep(LOOK_S)


def make(opened: Opened, folder: Path) -> Opened:
    """Make the new stack, without data (blocking). Its secrets are those that the data knows."""
    folder.mkdir(parents=True, exist_ok=True)
    ignore = shutil.ignore_patterns(*releases.EXCLUDED)
    shutil.copytree(opened.folder, folder, ignore=ignore, symlinks=True, dirs_exist_ok=True)
    file = folder / opened.file.name
    text = stack_file(editing.text_of(opened.file), listen=f"127.0.0.1:{free_port()}")
    editing.put_back(file, text)
    state = states.create(opened.stack.name, file)
    for secret in opened.state.secrets.iterdir():
        if secret.is_file():
            files.write(state.secrets / secret.name, secret.read_bytes(), owner=state.account)
    state.prepare_unit(first_unit(), holds_data=True)
    return Opened(file=file, stack=parse(text, source=str(file)), state=state)


def data_folder(new: Opened) -> Path:
    """The data folder of the new stack's database, which does not exist yet."""
    return new.state.unit(first_unit()) / "data" / "postgresql"


def erase(new: Opened) -> None:
    """Erase a new stack that did not come to be."""
    shutil.rmtree(new.state.path, ignore_errors=True)
    shutil.rmtree(new.state.run, ignore_errors=True)
    shutil.rmtree(new.folder, ignore_errors=True)


def stack_file(text: str, *, listen: str) -> str:
    """Answer the stack file for rung 1: without the tiers of later rungs, on another address."""
    document: Any = tomlkit.parse(text)
    for tier in tiers():
        if tier.rung > RUNG:
            document.pop(tier.name, None)
    database = document.get("database", {})
    for key in ("server", "replicas"):
        database.pop(key, None)
    text = editing.changed(document.as_string(), None, "rung", RUNG)
    return editing.changed(text, "web", "listen", listen)
