"""A client must read each answer to its end, and know whether a request had been sent."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from millions.drill.connection import Connection, NotSentError
from millions.drill.load import KEPT_S, Load
from millions.model import Address
from millions.testing import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

REQUEST = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\nhello"
CHUNKED = (
    b"HTTP/1.1 201 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n"
)
EMPTY = b"HTTP/1.1 204 No Content\r\n\r\n"


@asynccontextmanager
async def serving(*answers: bytes, piece: int = 10_000) -> AsyncGenerator[Address]:
    """Answers each request of a connection with the next one, in pieces, then closes it."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            try:
                await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                break
            for at in range(0, len(answer), piece):
                writer.write(answer[at : at + piece])
                await writer.drain()
                await asyncio.sleep(0)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield Address(host="127.0.0.1", port=server.sockets[0].getsockname()[1])
    finally:
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize("piece", [1, 7, 10_000])
async def test_answers_are_read_to_their_end_however_they_arrive(piece: int) -> None:
    async with serving(PLAIN, CHUNKED, EMPTY, piece=piece) as place:
        connection = Connection(place.host, place.port)
        first, second, third = [await connection.ask(REQUEST) for _ in range(3)]
        await connection.close()
    assert (first.status, first.body, first.cookies) == (200, b"hello", ("a=1", "b=2"))
    assert (second.status, second.body) == (201, b"hello")
    assert (third.status, third.body) == (204, b"")
    assert connection.made == 1


async def test_a_request_that_could_not_be_sent_is_told_from_one_without_an_answer() -> None:
    async with serving(b"") as place:
        connection = Connection(place.host, place.port)
        with pytest.raises(EOFError, match="without an answer"):
            await connection.ask(REQUEST)
    with pytest.raises(NotSentError):
        await connection.ask(REQUEST)


async def test_an_answer_that_breaks_off_is_said() -> None:
    async with serving(PLAIN[:-2]) as place:
        with pytest.raises(EOFError, match="in the middle"):
            await Connection(place.host, place.port).ask(REQUEST)


async def test_an_answer_that_does_not_come_is_waited_for_within_bounds() -> None:
    async with serving(PLAIN[:-2], PLAIN) as place:
        with pytest.raises(TimeoutError):
            await Connection(place.host, place.port).ask(REQUEST, within_s=0.1)


async def test_a_kept_connection_that_was_closed_is_noticed_before_the_next_request() -> None:
    async with serving(PLAIN) as place:
        connection = Connection(place.host, place.port)
        await connection.ask(REQUEST)
        assert await eventually(lambda: connection.lost, within_s=5)
        assert (await connection.ask(REQUEST)).status == 200
        assert connection.made == 2
        await connection.close()


async def test_the_load_counts_a_connection_closed_without_a_word_as_a_failure() -> None:
    async with serving(*[PLAIN] * 3) as place, Load(place, clients=1, rate_per_s=200) as load:
        await eventually(lambda: load.tally.sent > 12, within_s=10)
    assert load.tally.failures["closed without a word"] >= 2
    assert load.tally.good == load.tally.sent


async def test_the_load_counts_what_was_not_expected() -> None:
    async with serving(*[CHUNKED] * 50) as place:
        async with Load(place, clients=2, mode="new", rate_per_s=200, expect=(200,)) as load:
            await eventually(lambda: load.tally.sent > 10, within_s=10)
        tally = load.tally
    assert tally.good == 0
    assert tally.answered == {201: tally.sent}
    assert tally.failures == {"status 201": tally.sent}
    assert tally.connections == tally.sent


async def test_a_connection_that_was_idle_for_long_is_not_used_again() -> None:
    """The other side may be closing it, as it may every idle one."""
    async with (
        serving(*[PLAIN] * 9) as place,
        Load(place, clients=1, rate_per_s=0.8 / KEPT_S) as load,
    ):
        await eventually(lambda: load.tally.good == 2)
    assert load.tally.connections == load.tally.sent == load.tally.good
