"""What is looked at on this machine before anything is changed: addresses and room."""

from __future__ import annotations

import errno
import shutil
import socket
from typing import TYPE_CHECKING

from millions.cli import changing, copies
from millions.cli.moving import record
from millions.errors import MachineError, MoveError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from millions.cli.opened import Opened
    from millions.model import Address, Unit
    from millions.runtime.desired import Desired

ROOM_MIB_MIN = 128
"""A release, a log and the WAL of a small database need this much at least."""

MIB = 1_048_576
LOWEST_UNPRIVILEGED_PORT = 1024


def before_change(opened: Opened, wanted: Desired) -> None:
    """Raise for a move that is half done, a public address that is taken, a disk without room."""
    _no_move(opened)
    _room(opened)
    former = changing.current(opened.state)
    copies.before_change(opened, former, wanted)
    listens(wanted.units, bound=former.units if former else ())


def listens(units: Iterable[Unit], *, bound: Iterable[Unit]) -> None:
    """Raise MachineError for a public address that `bound` do not listen on and nobody can."""
    ours = {address for unit in bound for address in unit.public}
    for address in (each for unit in units for each in unit.public):
        if address not in ours:
            _bindable(address)


def _no_move(opened: Opened) -> None:
    move = record.read(opened.state)
    if move is not None:
        raise MoveError(
            cannot=f"change the stack {opened.stack.name}",
            because=f"a move of its database to server {move.target} is half done",
            try_="millions up, or the move again: both finish it or undo it",
        )


def _room(opened: Opened) -> None:
    free_mib = shutil.disk_usage(opened.state.path).free // MIB
    if free_mib < ROOM_MIB_MIN:
        raise MachineError(
            cannot=f"keep the state of {opened.stack.name} in {opened.state.path}",
            because=f"{free_mib} MiB are free there, at least {ROOM_MIB_MIN} are needed",
            try_="df -h, then make room, or MILLIONS_HOME on another disk",
        )


def _bindable(address: Address) -> None:
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address.host, address.port))
            probe.listen(1)
    except OSError as error:
        raise MachineError(
            cannot=f"listen on {address}",
            because=_words(error, address),
            try_=_way_out(error, address),
        ) from error


def _words(error: OSError, address: Address) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {address.port} is taken by another program"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"this machine has no address {address.host}"
    if error.errno == errno.EACCES:
        return f"only root may listen on ports below {LOWEST_UNPRIVILEGED_PORT}"
    return error.strerror or str(error)


def _way_out(error: OSError, address: Address) -> str:
    if error.errno == errno.EADDRNOTAVAIL:
        return f'listen = "0.0.0.0:{address.port}", which is every address of this machine'
    if error.errno == errno.EACCES:
        return f'listen = "{address.host}:8000"'
    return (
        f'ss -ltnp "sport = {address.port}" names it; or listen = "{address.host}:{_next(address)}"'
    )


def _next(address: Address) -> int:
    """A port nearby that is free now."""
    for port in range(address.port + 1, min(address.port + 100, 65_536)):
        try:
            with socket.socket() as probe:
                probe.bind((address.host, port))
        except OSError:
            continue
        return port
    return address.port + 1
