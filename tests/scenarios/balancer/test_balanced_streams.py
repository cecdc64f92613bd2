"""What applications do besides plain requests must pass through the balancer."""

from __future__ import annotations

import asyncio
import base64
import os
from typing import TYPE_CHECKING

import orjson
from rig import Client

from millions.testing.load import ask

if TYPE_CHECKING:
    from site_stack import Site

MIB = 1024 * 1024


async def test_uploads_of_fifty_mebibytes_arrive_whole(site: Site) -> None:
    client = Client(site.port)
    size = 50 * MIB
    await client.send(
        f"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n".encode()
    )
    for _ in range(50):
        await client.send(b"u" * MIB)
    answer = await client.answer(within_s=60)
    await client.close()
    assert (answer.status, orjson.loads(answer.body)) == (200, {"size": size})


async def test_a_larger_one_is_refused_before_it_is_sent(site: Site) -> None:
    head = f"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: {65 * MIB}\r\n\r\n"
    answer = await ask("127.0.0.1", site.port, head.encode())
    assert answer.status == 413


async def test_server_sent_events_arrive_one_by_one(site: Site) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n")
    loop, times = asyncio.get_running_loop(), []
    async with asyncio.timeout(20):
        while len(times) < 5:
            if (await reader.readline()).startswith(b"data: "):
                times.append(loop.time())
    writer.close()
    await writer.wait_closed()
    assert times[4] - times[0] > 0.2, "not held back until the end"


async def test_websockets_pass_through_and_outlive_a_deploy_of_the_balancer(site: Site) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    key = base64.b64encode(os.urandom(16)).decode()
    writer.write(
        (
            "GET /echo HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
        ).encode()
    )
    async with asyncio.timeout(20):
        head = await reader.readuntil(b"\r\n\r\n")
        assert b" 101 " in head.split(b"\r\n")[0]
        assert b": hello" in await _echoed(reader, writer, b"hello")
        site.edit('listen = "127', 'max_url_bytes = 400\nlisten = "127')
    await asyncio.to_thread(site.millions, "up", "--detach")
    async with asyncio.timeout(20):
        assert b": again" in await _echoed(reader, writer, b"again")
    site.edit("max_url_bytes = 400\n", "")
    writer.close()
    await writer.wait_closed()


async def _echoed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, text: bytes) -> bytes:
    """Send one masked text frame, read one frame."""
    mask = os.urandom(4)
    masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(text))
    writer.write(bytes([0x81, 0x80 | len(text)]) + mask + masked)
    _, length = await reader.readexactly(2)
    return await reader.readexactly(length)
