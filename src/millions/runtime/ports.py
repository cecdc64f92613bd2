"""Free TCP ports for stacks and servers that need one of their own: drills, restored data, tests.

Never a port that the kernel gives to outgoing connections: one of those that is free when it is
looked up may belong to a connection when a server wants it. Never one that another process of
this machine was given here and has not listened on yet.
"""

from __future__ import annotations

import random
import socket
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING

from millions.errors import MachineError

if TYPE_CHECKING:
    from collections.abc import Iterator

FIRST, BLOCK, BLOCKS = 20_000, 64, 190
"""Ports 20,000 to 32,159. Linux gives connections those from 32,768 on (`ip_local_port_range`)."""

_one_at_a_time = Lock()


def free_port(host: str = "127.0.0.1") -> int:
    """Answer a TCP port at which nobody listens, and which no other call is given.

    Raise MachineError when every port is taken.
    """
    with _one_at_a_time:
        for port in _ports():
            with socket.socket() as probe:
                try:
                    probe.bind((host, port))
                except OSError:
                    continue
                return port
    raise MachineError(
        cannot="find a free port",
        because=f"every port from {FIRST} to {FIRST + BLOCK * BLOCKS - 1} is taken",
        try_="end processes that listen: ss -ltn",
    )


@cache
def _ports() -> Iterator[int]:
    """Ports of blocks that are this process' own: the name that claims one goes when it ends."""

    def blocks() -> Iterator[int]:
        for block in random.sample(range(BLOCKS), BLOCKS):
            claim = socket.socket(socket.AF_UNIX)
            try:
                claim.bind(f"\0millions-ports-{block}")
            except OSError:
                claim.close()
                continue
            claim.detach()  # open until the process ends, and no longer
            yield from range(FIRST + block * BLOCK, FIRST + (block + 1) * BLOCK)

    return blocks()
