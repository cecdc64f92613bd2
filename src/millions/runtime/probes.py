"""Asking a unit whether it is ready: connect, send, compare the first bytes of the answer.

One question at a time and bounded; it decides nothing (`reconcile/readiness.py` does).
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from millions.model import Address, Probe


class Silence(str):
    """The words for a question that was not answered at all, however long was waited."""

    __slots__ = ()


async def ask(probe: Probe, address: Address) -> str:
    """Ask once. Empty when the answer is as expected, else what happened instead, in words."""
    try:
        async with asyncio.timeout(probe.timeout_s):
            answer = await _converse(probe, address)
    except TimeoutError:
        return Silence(f"{address} did not answer within {probe.timeout_s:g} s")
    except OSError as error:
        return f"{address}: {error.strerror or error}"
    if answer.startswith(probe.expect):
        return ""
    first = answer.split(b"\r\n", 1)[0].split(b"\n", 1)[0][:80]
    return f"{address} answered {first.decode('latin-1')!r}"


async def _converse(probe: Probe, address: Address) -> bytes:
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as client:
        await loop.sock_connect(client, (address.host, address.port))
        if probe.send:
            await loop.sock_sendall(client, probe.send)
        answer = b""
        while len(answer) < len(probe.expect):
            received = await loop.sock_recv(client, 4096)
            if not received:
                break
            answer += received
    return answer
