"""Who is refused gets to read why, also while still sending what was refused."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import httpx
import pytest
import pytest_asyncio
import uvicorn

from millions.sdk.drain import DrainingProtocol, DrainingServer
from millions.testing import eventually

MIB = 1024 * 1024


async def refusing(scope, receive, send):
    """Answer at once, whatever the client is about to send."""
    await send(
        {"type": "http.response.start", "status": 413, "headers": [(b"content-length", b"3")]}
    )
    await send({"type": "http.response.body", "body": b"no\n"})


@pytest_asyncio.fixture(loop_scope="session")
async def server():
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        refusing, interface="asgi3", http=DrainingProtocol, lifespan="off", log_config=None
    )
    server = DrainingServer(config, in_flight_s=2)
    with contextlib.closing(listener):
        serving = asyncio.ensure_future(server.serve([listener]))
        await eventually(lambda: server.started)
        yield server
        server.stop()
        await serving


@pytest.fixture
def port(server):
    return server.servers[0].sockets[0].getsockname()[1]


@pytest.mark.parametrize("connection", ["close", "keep-alive"])
async def test_the_refusal_of_a_body_reaches_a_client_that_is_still_sending(port, connection):
    for _ in range(20):
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            answer = await client.post(
                "/", content=b"x" * 4 * MIB, headers={"connection": connection}
            )
            assert (answer.status_code, answer.text) == (413, "no\n")


async def test_the_rest_of_a_refused_body_is_not_taken_for_the_next_head(server, port):
    """Its last piece may be larger than any head may be."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for size in (100_000, 200_000):
        writer.write(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % size)
        assert (await reader.readuntil(b"no\n")).startswith(b"HTTP/1.1 413 ")
        (connection,) = server.server_state.connections
        connection.data_received(b"x" * size)  # in one piece, as a loop reads from a full socket
        writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        assert (await reader.readuntil(b"no\n")).startswith(b"HTTP/1.1 413 ")
    writer.close()
    await writer.wait_closed()


async def test_a_client_that_sends_on_and_on_is_cut_off(port, monkeypatch):
    monkeypatch.setattr("millions.sdk.lingering.LINGER_S", 0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n")
    writer.write(b"content-length: 99999999\r\n\r\n")
    assert (await reader.read()).endswith(b"no\n"), "the answer, and no more"

    async def cut():
        writer.write(b"x" * 1000)
        try:
            await writer.drain()
        except ConnectionError:
            return True
        return False

    await eventually(cut, within_s=5)
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def test_a_client_that_has_sent_all_is_not_waited_for(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
    async with asyncio.timeout(3):
        assert (await reader.read()).endswith(b"no\n")
    writer.close()
    await writer.wait_closed()
