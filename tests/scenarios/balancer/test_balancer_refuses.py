"""The balancer must refuse what would harm web servers, and let through all that is well."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from rig import Balancer, Client, get, once

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from rig import Asked

    NewBalancer = Callable[..., Awaitable[Balancer]]

POST = b"POST /order HTTP/1.1\r\nHost: photos.test\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: photos.test\r\n\r\n"


def reached(balancer: Balancer) -> list[Asked]:
    return [asked for each in balancer.backends for asked in each.asked]


@pytest.mark.parametrize(
    "request_bytes",
    [
        pytest.param(
            POST + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde", id="two lengths"
        ),
        pytest.param(POST + b"Content-Length: 4, 5\r\n\r\nabcde", id="a list of lengths"),
        pytest.param(POST + b"Content-Length: +5\r\n\r\nabcde", id="a signed length"),
        pytest.param(
            POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
            id="an encoding that is almost one",
        ),
        pytest.param(
            POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
            id="a blank before the colon",
        ),
        pytest.param(
            POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
            id="a vertical tab before the value",
        ),
        pytest.param(
            POST + b"Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
            id="two encodings",
        ),
        pytest.param(
            POST
            + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n"
            + SMUGGLED,
            id="two lines of encodings",
        ),
        pytest.param(
            b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
            id="an encoding in HTTP/1.0",
        ),
        pytest.param(
            POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
            id="a chunk size that is no number",
        ),
        pytest.param(
            POST + b"Transfer-Encoding: chunked\r\n\r\n-1\r\nabc\r\n0\r\n\r\n",
            id="a chunk size below zero",
        ),
        pytest.param(
            POST + b"Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\nabc\r\n0\r\n\r\n",
            id="a chunk size that overflows",
        ),
        pytest.param(get("/", "X-A: a\x00b"), id="a zero byte in a header"),
        pytest.param(get("/", "X-A: a\x1bb"), id="an escape in a header"),
        pytest.param(get("/", "X-A: a\rTransfer-Encoding: chunked"), id="a bare carriage return"),
        pytest.param(b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", id="a header that begins with a blank"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", id="no host"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", id="two hosts"),
        pytest.param(b"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", id="a host other than its own"),
        pytest.param(b"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n", id="a control character in the URL"),
        pytest.param(b"GET /\r\n\r\n", id="HTTP/0.9"),
        pytest.param(b"\x16\x03\x01\x02\x00\r\n\r\n", id="TLS where HTTP is spoken"),
    ],
)
async def test_what_two_servers_could_read_in_two_ways_reaches_none(
    balancer: Balancer, request_bytes: bytes
) -> None:
    answer = await once(balancer.port, request_bytes)
    assert answer.status in {400, 422}
    assert reached(balancer) == []


@pytest.mark.parametrize(
    ("headers", "arrives"),
    [
        pytest.param(
            b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "chunked", id="two lengths"
        ),
        pytest.param(b"Transfer-Encoding:\r\n chunked\r\n", "chunked", id="a folded header"),
    ],
)
async def test_what_is_ambiguous_arrives_in_one_way(
    balancer: Balancer, headers: bytes, arrives: str
) -> None:
    client = Client(balancer.port)
    await client.send(POST + headers + b"\r\n0\r\n\r\n" + SMUGGLED)
    assert (await client.answer()).status == 200
    await client.close()
    order = [each for each in reached(balancer) if b"/order" in each.head]
    assert len(order) == 1
    assert b"\r\n " not in order[0].head
    assert order[0].headers["transfer-encoding"] == arrives
    assert "content-length" not in order[0].headers


async def test_a_request_with_two_lengths_is_the_last_of_its_connection(balancer: Balancer) -> None:
    client = Client(balancer.port)
    two = b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    assert (await client.ask(POST + two + SMUGGLED)).headers["connection"] == "close"
    assert await client.closed()
    await client.close()
    assert [each for each in reached(balancer) if b"smuggled" in each.head] == []


@pytest.mark.parametrize(
    ("request_bytes", "status", "because"),
    [
        pytest.param(
            POST + b"Content-Length: 99999999\r\n\r\nabc", 413, "larger than 64 MiB", id="body"
        ),
        pytest.param(get("/" + "a" * 8_200), 414, "longer than 8192 bytes", id="URL"),
        pytest.param(get("/", "X-A: " + "a" * 17_000), 431, "larger than 16 KiB", id="head"),
        pytest.param(get("/", *(f"X-{n}: a" for n in range(120))), 400, "", id="many headers"),
        pytest.param(get("/", "X-A: " + "a" * 200_000), 400, "", id="an enormous head"),
        pytest.param(b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405, "", id="TRACE"),
        pytest.param(b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", 405, "", id="CONNECT"),
    ],
)
async def test_what_is_too_large_is_answered_at_once_and_reaches_no_server(
    balancer: Balancer, request_bytes: bytes, status: int, because: str
) -> None:
    answer = await once(balancer.port, request_bytes)
    assert answer.status == status
    assert because in answer.body
    assert reached(balancer) == []


@pytest.mark.parametrize(
    "part",
    [
        pytest.param(b"GET / HTTP/1.1\r\nHos", id="head"),
        pytest.param(POST + b"Content-Length: 9\r\n\r\nabc", id="body"),
        pytest.param(POST + b"Transfer-Encoding: chunked\r\n\r\n9\r\nabc", id="chunk"),
    ],
)
async def test_a_request_that_arrives_too_slowly_takes_no_server(
    balancer: Balancer, part: bytes
) -> None:
    began_s = time.monotonic()
    answer = await once(balancer.port, part)
    assert answer.status == 408
    assert 1.5 < time.monotonic() - began_s < 12
    assert reached(balancer) == []


async def test_a_head_that_drips_does_not_live_longer(balancer: Balancer) -> None:
    client = Client(balancer.port)
    dripping = asyncio.create_task(_drip(client))
    await client.send(b"GET / HTTP/1.1\r\nHost: photos.test\r\nX-A: ")
    answer = await client.answer(within_s=12)
    dripping.cancel()
    await client.close()
    assert answer.status == 408


async def _drip(client: Client) -> None:
    for _ in range(100):
        await asyncio.sleep(0.2)
        await client.send(b"a")


async def test_an_idle_connection_is_closed(balancer: Balancer) -> None:
    client = Client(balancer.port)
    await client.ask(get())
    began_s = time.monotonic()
    assert await client.closed()
    assert 4 < time.monotonic() - began_s < 12
    await client.close()


async def test_more_requests_of_one_address_than_allowed_are_told_to_come_later(
    new_balancer: NewBalancer,
) -> None:
    balancer = await new_balancer(requests_per_s=10)
    noisy, quiet = Client(balancer.port, "127.66.0.1"), Client(balancer.port, "127.66.0.2")
    answers = [await noisy.ask(get()) for _ in range(120)]
    statuses = Counter(each.status for each in answers)
    assert statuses == {200: 100, 429: 20}
    assert answers[-1].headers["retry-after"] == "1"
    assert "more than 100 times in 10 s" in answers[-1].body
    assert (await quiet.ask(get())).status == 200
    assert len(reached(balancer)) == 101
    began_s = time.monotonic()
    while (await noisy.ask(get())).status != 200:  # what was refused does not count
        assert time.monotonic() - began_s < 15
        await asyncio.sleep(0.25)
    for each in (noisy, quiet):
        await each.close()


async def test_this_server_itself_and_networks_of_yours_are_exempt(
    new_balancer: NewBalancer,
) -> None:
    balancer = await new_balancer(requests_per_s=1, exempt=("127.0.0.1", "127.67.0.0/16"))
    for source in ("127.0.0.1", "127.67.1.2"):
        client = Client(balancer.port, source)
        answers = [await client.ask(get()) for _ in range(30)]
        await client.close()
        assert {each.status for each in answers} == {200}


async def test_connections_of_one_address_beyond_the_limit_are_told_so_and_closed(
    new_balancer: NewBalancer,
) -> None:
    balancer = await new_balancer(connections_per_address=10)
    clients = [Client(balancer.port, "127.66.0.3") for _ in range(30)]
    answers = []
    for each in clients:
        try:
            answers.append(await each.ask(get()))
        except (OSError, EOFError):
            answers.append(None)
    told = [each for each in answers if each is not None and each.status == 429]
    assert [each.status for each in answers[:10] if each is not None] == [200] * 10
    assert len(told) >= 1
    assert {each.headers["connection"] for each in told} == {"close"}
    assert {each.headers["retry-after"] for each in told} == {"1"}
    assert (await clients[0].ask(get())).status == 200, "the first ones go on"
    other = Client(balancer.port, "127.66.0.4")
    assert (await other.ask(get())).status == 200
    for each in (*clients, other):
        await each.close()


async def test_connections_that_say_nothing_are_refused_beyond_twice_the_limit(
    new_balancer: NewBalancer,
) -> None:
    balancer = await new_balancer(connections_per_address=5, request_s=20)
    clients = [Client(balancer.port, "127.66.0.5") for _ in range(30)]

    async def is_refused(client: Client) -> bool:
        try:
            await client.send(b"GET ")
            return await client.closed(within_s=6)
        except TimeoutError:
            return False
        except OSError:
            return True

    refused = await asyncio.gather(*map(is_refused, clients))
    assert refused.count(True) == 20
    for each in clients:
        await each.close()


async def test_limits_of_zero_are_none(new_balancer: NewBalancer) -> None:
    balancer = await new_balancer(connections_per_address=0, requests_per_s=0)
    client = Client(balancer.port, "127.66.0.6")
    answers = [await client.ask(get()) for _ in range(50)]
    await client.close()
    assert {each.status for each in answers} == {200}
    assert "stick-table" not in balancer.file.read_text()
