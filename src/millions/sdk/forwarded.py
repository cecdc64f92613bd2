"""Where a request comes from, as the balancer says it: the client's address and the scheme.

Only who connects from the balancer's own address is believed, and only its own word: the last
entry of X-Forwarded-For and of X-Forwarded-Proto. What a client wrote into them stands before it.
"""

from __future__ import annotations

from typing import Any

FOR = b"x-forwarded-for"
PROTO = b"x-forwarded-proto"

SCHEMES = {
    "http": {b"http": "http", b"https": "https"},
    "websocket": {b"http": "ws", b"https": "wss"},
}

ADDRESS_MAX = 45
"""Characters of the longest IPv6 address."""


def believe(scope: dict[str, Any], trusted: str) -> None:
    """Set the client and the scheme of `scope` when it came from the address `trusted`."""
    client = scope.get("client")
    if client is None or client[0] != trusted:
        return
    came_from = proto = b""
    for name, value in scope["headers"]:
        if name == FOR:
            came_from = value
        elif name == PROTO:
            proto = value
    address = came_from.rpartition(b",")[2].strip()
    if 0 < len(address) <= ADDRESS_MAX:
        scope["client"] = (address.decode("latin-1"), 0)
    scheme = SCHEMES[scope["type"]].get(proto.rpartition(b",")[2].strip().lower())
    if scheme is not None:
        scope["scheme"] = scheme
