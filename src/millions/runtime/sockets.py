"""Listening sockets: bound by the supervisor, inherited by units, given back to its successor.

The supervisor keeps each public socket open, so that connections wait in its backlog while no
process of the unit runs. Never accepts a connection itself.

Source: SCM_RIGHTS in unix(7); the listen-descriptor idea is systemd's socket activation.
"""

from __future__ import annotations

import errno
import os
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

from millions.errors import MachineError

if TYPE_CHECKING:
    from millions.model import Address

BACKLOG = 2048
"""Connections that wait while a web process dies and its successor starts: at 1,000 a second
that is two seconds. The kernel's net.core.somaxconn bounds it too."""

FETCH_WAIT_S = 1.0
"""How long a unit may take to hand its socket over; a stopped process answers never."""


def listen(address: Address) -> socket.socket:
    """Bind and listen. Raise MachineError that names who holds the address."""
    server = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((address.host, address.port))
        server.listen(BACKLOG)
    except OSError as error:
        server.close()
        raise refused(address, error) from error
    return server


def check_free(address: Address) -> None:
    """Raise MachineError, which names the holder, when nobody could listen on `address`."""
    if address.port:
        listen(address).close()


def refused(address: Address, error: OSError) -> MachineError:
    """The error for an address that could not be bound."""
    if error.errno == errno.EADDRINUSE:
        because = f"it is taken by {holder(address)}"
        try_ = "stop that, or another port in millions.toml"
    elif error.errno == errno.EACCES:
        because = "ports below 1024 need root"
        try_ = "a port of 1024 or above in millions.toml"
    else:
        because = error.strerror or str(error)
        try_ = "an address of this machine in millions.toml"
    return MachineError(cannot=f"listen on {address}", because=because, try_=try_)


def holder(address: Address) -> str:
    """Who listens on `address`, in words. Blocking; only for error texts."""
    # 3 MB that a healthy supervisor never needs
    import psutil  # type: ignore[import-untyped]  # noqa: PLC0415

    with suppress(psutil.Error, OSError):
        for found in psutil.net_connections(kind="tcp4"):
            host, port = getattr(found.laddr, "ip", ""), getattr(found.laddr, "port", 0)
            if found.status != psutil.CONN_LISTEN or port != address.port:
                continue
            if host in (address.host, "0.0.0.0"):  # noqa: S104  # compared, not bound
                return _said(found.pid)
    return "another process"


def fetch(path: str, allowed: frozenset[int]) -> socket.socket | None:
    """Ask the unit that serves `path` for its listening socket; None when nobody answers.

    `allowed` are the user numbers that may serve it. Blocking, at most FETCH_WAIT_S.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(FETCH_WAIT_S)
        try:
            client.connect(path)
            credentials = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
            if int.from_bytes(credentials[4:8], "little") not in allowed:
                return None
            _, descriptors, _, _ = socket.recv_fds(client, 16, 1)
        except OSError:
            return None
    if not descriptors:
        return None
    os.set_inheritable(descriptors[0], False)  # noqa: FBT003  # positional only
    return socket.socket(fileno=descriptors[0])


def listens_on(server: socket.socket, address: Address) -> bool:
    """Whether `server` is a socket that listens on `address`."""
    try:
        accepts = server.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        return bool(accepts) and server.getsockname()[:2] == (address.host, address.port)
    except OSError:
        return False


def _said(pid: int | None) -> str:
    from millions.runtime import processes  # noqa: PLC0415  # as above: only for error texts

    if pid is None:
        return "a process of another user"
    return f"{processes.name(pid)} (pid {pid})"
