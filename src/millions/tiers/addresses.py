"""Private addresses: 127.N.tier.unit, so that two stacks on one machine never meet. Pure."""

from __future__ import annotations

import re

from millions.model import Address

LISTEN = re.compile(r"(?P<host>\d{1,3}(?:\.\d{1,3}){3}):(?P<port>\d{1,5})")
HIGHEST_BYTE = 255
HIGHEST_PORT = 65535


def private(network: int, tier: int, unit: int, port: int) -> Address:
    """Answer the private address of one unit."""
    return Address(host=f"127.{network}.{tier}.{unit}", port=port)


def listen(text: str) -> Address:
    """Read `host:port`. Raise ValueError with what it must be."""
    found = LISTEN.fullmatch(text)
    if not found:
        raise ValueError("an IPv4 address and a port, such as 127.0.0.1:8000 or 0.0.0.0:80")
    address = Address(host=found["host"], port=int(found["port"]))
    if any(int(byte) > HIGHEST_BYTE for byte in address.host.split(".")):
        raise ValueError("an IPv4 address, each of whose four numbers is at most 255")
    if not 1 <= address.port <= HIGHEST_PORT:
        raise ValueError(f"a port from 1 to {HIGHEST_PORT}")
    return address
