"""Asking processes what there is to do: a page at their private addresses, a JSON object.

Every question is bounded, and all are asked at once. Who does not answer in time, or something
else than was asked for, is left out; nothing is asked twice, and the database never.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from millions.reconcile.signals import WorkerSeen
from millions.runtime import codec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from millions.model import Address

ANSWER_S = 1.5
"""More than a worker waits for its database: one that does not answer is blocked, or gone."""

ANSWER_BYTES_MAX = 16 * 1024
GOOD = b"HTTP/1.1 200 "
END_OF_HEAD = b"\r\n\r\n"


async def workers(page: str, addresses: Mapping[str, Address]) -> tuple[WorkerSeen, ...]:
    """What each process says, by its name and address; those that say nothing are not in it."""
    asked = (_asked(page, name, address) for name, address in addresses.items())
    return tuple(each for each in await asyncio.gather(*asked) if each is not None)


def parsed(name: str, answer: bytes) -> WorkerSeen:
    """Read an HTTP answer. Raise ValueError or TypeError when it is not what was asked for."""
    head, _, content = answer.partition(END_OF_HEAD)
    if not head.startswith(GOOD):
        raise ValueError(f"{name} has no answer: {head[:80]!r}")
    found = json.loads(content)
    if not isinstance(found, dict):
        raise TypeError(f"{name} answers {content[:80]!r}")
    seen = codec.build(WorkerSeen, {**found, "name": name}, where=name)
    if seen.slots < 1 or min(seen.held, seen.done, seen.waiting) < 0:
        raise ValueError(f"{name} answers {content[:80]!r}")
    return seen


async def _asked(page: str, name: str, address: Address) -> WorkerSeen | None:
    try:
        async with asyncio.timeout(ANSWER_S):
            return parsed(name, await _answer(page, address))
    except (OSError, ValueError, TypeError):
        return None


async def _answer(page: str, address: Address) -> bytes:
    reader, writer = await asyncio.open_connection(address.host, address.port)
    try:
        writer.write(f"GET {page} HTTP/1.1\r\nHost: millions\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while chunk := await reader.read(4096):
            answer += chunk
            if len(answer) > ANSWER_BYTES_MAX:
                raise ValueError("the answer does not end")
    finally:
        writer.close()
    return answer
