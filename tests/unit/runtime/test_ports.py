"""A free port must stay free until its server listens on it."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
from pathlib import Path

from millions.runtime import ports

RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
MANY = ports.BLOCK + 6
"""More than one block has: a process goes on in another one, which is its own too."""

SHOWN = f"""
from millions.runtime.ports import free_port
print(*[free_port() for _ in range({MANY})], flush=True)
input()
"""


def test_the_kernel_gives_no_free_port_to_a_connection() -> None:
    first = int(RANGE.read_text().split()[0])
    assert first >= ports.FIRST + ports.BLOCK * ports.BLOCKS
    assert all(ports.FIRST <= ports.free_port() < first for _ in range(3))


def test_processes_beside_each_other_are_given_other_ports() -> None:
    given = [ports.free_port() for _ in range(MANY)]
    others = [
        subprocess.Popen(
            [sys.executable, "-c", SHOWN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    for other in others:  # each lives until all have said their ports
        assert other.stdout is not None
        given += [int(each) for each in other.stdout.readline().split()]
    for other in others:
        other.communicate("\n", timeout=30)
    assert len(given) == 3 * MANY == len(set(given))


def test_a_port_on_which_somebody_listens_is_not_given() -> None:
    following = ports.free_port() + 1
    with socket.socket() as other:
        with contextlib.suppress(OSError):  # somebody else listens there
            other.bind(("127.0.0.1", following))
            other.listen()
        assert ports.free_port() != following
