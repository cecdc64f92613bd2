"""The public listening socket: inherited, bound anew, or handed to the next supervisor.

All processes that serve it share one open file description, so that a connection waiting in its
accept queue is answered by whoever is left. It never accepts a connection itself.

Source: SCM_RIGHTS as in unix(7); the same way nginx and HAProxy pass listeners on.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from pathlib import Path

from millions.errors import MachineError

LISTEN_VARIABLE = "MILLIONS_LISTEN_FD"
"""Names the file descriptor of the inherited listening socket."""

HANDOVER_VARIABLE = "MILLIONS_HANDOVER"
"""Names the unix socket on which the listening socket is handed over."""

BACKLOG = 2048
"""Connections that may wait while both releases are busy; the kernel may bound it lower."""

_CREDENTIALS = struct.Struct("3i")
"""struct ucred: pid, uid, gid."""


def inherited() -> socket.socket | None:
    """Answer the listening socket that the supervisor passed, or None when it passed none.

    One that is bound but does not listen yet refuses connections until the application is up, so
    that a balancer asks another process. Programs that the application starts do not inherit it:
    they would keep the port.
    """
    text = os.environ.get(LISTEN_VARIABLE, "")
    if not text:
        return None
    try:
        listener = socket.socket(fileno=int(text))
        if not _can_listen(listener):
            raise ValueError("it is not a listening socket")
    except (ValueError, OSError) as error:
        raise MachineError(
            cannot="take over the listening socket",
            because=f"{LISTEN_VARIABLE}={text}: {error}",
            try_=f"unset {LISTEN_VARIABLE} and give --bind HOST:PORT",
        ) from error
    listener.set_inheritable(False)
    listener.settimeout(0)
    return listener


def _can_listen(listener: socket.socket) -> bool:
    """Whether it listens, or is bound and could."""
    if listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        return True
    try:
        listener.getpeername()
    except OSError:
        name: object = listener.getsockname()
        return isinstance(name, tuple) and name[1:2] != (0,)
    return False


def bind(address: str) -> socket.socket:
    """Listen on `address`, written HOST:PORT. Raise MachineError when the port is taken."""
    host, _, port = address.rpartition(":")
    try:
        listener = socket.create_server(
            (host.strip("[]"), int(port)),
            family=socket.AF_INET6 if ":" in host else socket.AF_INET,
            backlog=BACKLOG,
        )
    except (ValueError, OverflowError, OSError) as error:
        raise MachineError(
            cannot=f"listen on {address}",
            because=getattr(error, "strerror", None) or str(error),
            try_="another port, or stop the program that has it (ss -ltnp)",
        ) from error
    listener.settimeout(0)
    return listener


class Handover:
    """Gives the listening socket to whoever asks on a unix socket: the same user, or root."""

    def __init__(self, path: str, listener: socket.socket) -> None:
        self._path = Path(path)
        self._listener = listener
        self._door: socket.socket | None = None
        self._inode = 0

    def open(self) -> None:
        """Begin to answer. A predecessor's door at the same path is replaced in one step."""
        fresh = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        fresh.unlink(missing_ok=True)
        door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        door.bind(str(fresh))
        fresh.chmod(0o600)
        door.listen(8)
        self._inode = fresh.stat().st_ino
        fresh.replace(self._path)
        self._door = door
        asyncio.get_running_loop().add_reader(door.fileno(), self._answer)

    def close(self) -> None:
        """Stop answering; remove the door unless a successor has replaced it."""
        door, self._door = self._door, None
        if door is None:
            return
        asyncio.get_running_loop().remove_reader(door.fileno())
        door.close()
        with contextlib.suppress(OSError):
            if self._path.stat().st_ino == self._inode:
                self._path.unlink()

    def _answer(self) -> None:
        if self._door is None:
            return
        with contextlib.suppress(OSError):
            asker, _ = self._door.accept()
            with asker:
                asker.settimeout(0)
                if _user(asker) in {os.geteuid(), 0}:
                    socket.send_fds(asker, [b"listener"], [self._listener.fileno()])


def _user(peer: socket.socket) -> int:
    raw = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    user: int = _CREDENTIALS.unpack(raw)[1]
    return user
