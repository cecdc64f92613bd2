"""Listening sockets: bound by the supervisor, inherited by units, given back to its successor.

The supervisor keeps each public socket open, so that connections wait in its backlog while no
process of the unit runs. Never accepts a connection itself.

Source: SCM_RIGHTS in unix(7), pidfd_getfd(2); the listen-descriptor idea is systemd's socket
activation.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

from millions.errors import MachineError
from millions.runtime import processes

if TYPE_CHECKING:
    from millions.model import Address
    from millions.runtime.processes import Identity

BACKLOG = 2048
"""Connections that wait while a web process dies and its successor starts: at 1,000 a second
that is two seconds. The kernel's net.core.somaxconn bounds it too."""

LISTEN_DESCRIPTOR = 3
"""Where a unit finds its first listening socket, as with systemd's socket activation."""

SOCKETS_MAX = 16
"""Listening sockets of one unit: HTTP, HTTPS and some more."""

FETCH_WAIT_S = 1.0
"""How long a unit may take to hand its socket over; a stopped process answers never."""


_PIDFD_GETFD = 438
_LIBC = ctypes.CDLL(None, use_errno=True)


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


def fetch(path: str, allowed: frozenset[int]) -> tuple[socket.socket, ...]:
    """Ask the unit that serves `path` for its listening sockets; none when nobody answers.

    `allowed` are the user numbers that may serve it. Blocking, at most FETCH_WAIT_S.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(FETCH_WAIT_S)
        try:
            client.connect(path)
            credentials = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
            if int.from_bytes(credentials[4:8], "little") not in allowed:
                return ()
            _, descriptors, _, _ = socket.recv_fds(client, 16, SOCKETS_MAX)
        except OSError:
            return ()
    return _sockets(descriptors)


def copied(identity: Identity, numbers: tuple[int, ...]) -> tuple[socket.socket, ...]:
    """Copies of the sockets that a process has open as `numbers`; none where that is not allowed.

    For programs that inherit a socket and cannot give it back (HAProxy).
    """
    process = processes.open_pidfd(identity)
    if process is None:
        return ()
    try:
        found = [_LIBC.syscall(_PIDFD_GETFD, process, number, 0) for number in numbers]
    finally:
        os.close(process)
    return _sockets([each for each in found if each >= 0])


def listening_address(server: socket.socket) -> str:
    """The address that `server` listens on; '' when it does not listen."""
    try:
        if not server.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            return ""
        host, port = server.getsockname()[:2]
    except (OSError, ValueError):
        return ""
    return f"{host}:{port}"


def _sockets(descriptors: list[int]) -> tuple[socket.socket, ...]:
    """Socket objects of open descriptors, not inherited by our children; others are closed."""
    found: list[socket.socket] = []
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)  # noqa: FBT003  # positional only
        try:
            found.append(socket.socket(fileno=descriptor))
        except OSError:  # not a socket
            os.close(descriptor)
    return tuple(found)


def _said(pid: int | None) -> str:
    if pid is None:
        return "a process of another user"
    return f"{processes.name(pid)} (pid {pid})"
