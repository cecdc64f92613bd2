"""The balancer must share evenly, repeat only what may be, and let all HTTP through."""

from __future__ import annotations

import asyncio
import re
import stat
import time
import urllib.request
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from rig import Asked, Balancer, Client, get, once

from millions.model import Address
from millions.testing import eventually
from millions.testing.load import Load
from millions.testing.load import get as made

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    NewBalancer = Callable[..., Awaitable[Balancer]]

MIB = 1024 * 1024


def shares(balancer: Balancer) -> list[float]:
    counts = [len(each.asked) for each in balancer.backends]
    return [count / sum(counts) for count in counts]


@pytest.mark.parametrize("balance", ["leastconn", "roundrobin"])
async def test_requests_are_shared_evenly_within_two_percent(
    new_balancer: NewBalancer, balance: str
) -> None:
    balancer = await new_balancer(servers=4, balance=balance)

    async def pause(_asked: Asked, _writer: asyncio.StreamWriter) -> bool:
        await asyncio.sleep(0.002)
        return False

    for each in balancer.backends:
        each.act = pause
    address = Address(host="127.0.0.1", port=balancer.port)
    async with Load(address, clients=16, mode="both") as load:
        await eventually(lambda: load.tally.good > 4_000, within_s=40)
    assert load.tally.failed == 0
    assert all(abs(share - 0.25) <= 0.25 * 0.02 for share in shares(balancer)), shares(balancer)


async def test_leastconn_gives_less_to_a_server_that_is_slow(new_balancer: NewBalancer) -> None:
    balancer = await new_balancer(servers=2)

    async def slow(asked: Asked, _writer: asyncio.StreamWriter) -> bool:
        if b" /readyz " not in asked.head:
            await asyncio.sleep(0.5)
        return False

    balancer.backends[0].act = slow
    address = Address(host="127.0.0.1", port=balancer.port)
    async with Load(address, clients=8) as load:
        await eventually(lambda: load.tally.good > 1_000, within_s=40)
    assert shares(balancer)[0] < 0.2


async def test_a_browser_stays_at_its_server_where_that_is_wanted(
    new_balancer: NewBalancer,
) -> None:
    balancer = await new_balancer(servers=3, sticky=True)
    first = await once(balancer.port, get())
    cookie = first.headers["set-cookie"].split(";")[0]
    assert cookie == f"millions_server={first.body}"
    assert {"HttpOnly", "SameSite=Lax"} <= set(first.headers["set-cookie"].split("; "))
    answers = [await once(balancer.port, get("/", f"Cookie: {cookie}")) for _ in range(12)]
    assert {each.body for each in answers} == {first.body}
    assert not any("set-cookie" in each.headers for each in answers)
    balancer.say(f"set server web/{first.body} state maint")
    moved = await once(balancer.port, get("/", f"Cookie: {cookie}"))
    assert moved.status == 200
    assert moved.body != first.body
    assert moved.headers["set-cookie"].startswith(f"millions_server={moved.body}")


async def dies(asked: Asked, writer: asyncio.StreamWriter) -> bool:
    """What a process does that is killed with a request under way."""
    if b" /readyz " in asked.head:
        return False
    writer.transport.abort()
    return True


@pytest.mark.parametrize(
    ("request_bytes", "repeated"),
    [
        pytest.param(get("/once"), True, id="GET"),
        pytest.param(b"HEAD /once HTTP/1.1\r\nHost: a\r\n\r\n", True, id="HEAD"),
        pytest.param(
            b"POST /once HTTP/1.1\r\nHost: a\r\nIdempotency-Key: k\r\nContent-Length: 3\r\n\r\nabc",
            True,
            id="a POST with a key",
        ),
        pytest.param(
            b"POST /once HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", False, id="a POST"
        ),
        pytest.param(
            b"DELETE /once HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", False, id="a DELETE"
        ),
    ],
)
async def test_only_what_may_be_is_repeated_when_a_server_breaks_off(
    balancer: Balancer, request_bytes: bytes, *, repeated: bool
) -> None:
    balancer.backends[0].act = dies
    statuses: Counter[int] = Counter()
    for _ in range(6):
        client = Client(balancer.port)
        await client.send(request_bytes)
        try:
            head = request_bytes.startswith(b"HEAD")
            statuses[await _status(client) if head else (await client.answer()).status] += 1
        except EOFError:
            statuses[0] += 1
        await client.close()
    tried = [len(each.of("/once")) for each in balancer.backends]
    if repeated:
        assert statuses == {200: 6}
        assert tried[1] == 6
    else:
        assert sum(tried) == 6, "each was tried once"
        assert statuses[200] == tried[1]


async def _status(client: Client) -> int:
    assert client._streams is not None
    line = await client._streams[0].readline()
    return int(line.split()[1])


async def test_a_request_with_a_key_is_repeated_with_its_whole_body(balancer: Balancer) -> None:
    balancer.backends[0].act = dies
    body = b"x" * 60_000
    head = f"POST /once HTTP/1.1\r\nHost: a\r\nIdempotency-Key: k\r\nContent-Length: {len(body)}"
    for _ in range(4):
        assert (await once(balancer.port, head.encode() + b"\r\n\r\n" + body)).status == 200
    assert [each.body for each in balancer.backends[1].of("/once")] == [body] * 4


async def test_a_server_that_refuses_is_left_out_for_every_method(balancer: Balancer) -> None:
    await balancer.backends[0].close()
    post = b"POST /once HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
    began_s = time.monotonic()
    answers = [await once(balancer.port, post) for _ in range(10)]
    assert {each.status for each in answers} == {200}
    assert time.monotonic() - began_s < 5
    states = lambda: {each["svname"]: each["status"] for each in balancer.servers()}  # noqa: E731
    await eventually(lambda: states()["web.1"].startswith("DOWN"), within_s=10)
    await balancer.backends[0].open()
    await eventually(lambda: states()["web.1"] == "UP", within_s=10)


async def test_without_any_server_it_says_so_and_when_to_come_again(balancer: Balancer) -> None:
    for each in balancer.backends:
        await each.close()
    await eventually(
        lambda: all(each["status"].startswith("DOWN") for each in balancer.servers()), within_s=10
    )
    answer = await once(balancer.port, get())
    assert answer.status == 503
    assert answer.headers["retry-after"] == "1"
    assert "no web server is ready" in answer.body


async def test_an_upload_streams_through_before_it_is_complete(balancer: Balancer) -> None:
    size, part = 8 * MIB, 256 * 1024
    client = Client(balancer.port)
    head = f"PUT /upload HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n"
    await client.send(head.encode())
    for _ in range(size // part - 1):
        await client.send(b"u" * part)
    await eventually(
        lambda: sum(int(each["scur"]) for each in balancer.servers()) == 1, within_s=10
    )
    await client.send(b"u" * part)
    assert (await client.answer(within_s=30)).status == 200
    await client.close()
    (asked,) = [asked for each in balancer.backends for asked in each.of("/upload")]
    assert len(asked.body) == size


async def test_a_client_that_asks_whether_to_continue_is_told_to(balancer: Balancer) -> None:
    client = Client(balancer.port)
    head = b"POST /upload HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
    assert (await client.ask(head)).status == 100
    await client.send(b"abc")
    assert (await client.answer()).status == 200
    await client.close()


async def test_reloads_fail_no_request(balancer: Balancer) -> None:
    address = Address(host="127.0.0.1", port=balancer.port)
    async with Load(address, clients=12, mode="both", request=made("/")) as load:
        for number in range(3):
            sent = load.tally.sent
            await eventually(lambda sent=sent: load.tally.sent > sent + 200, within_s=20)
            balancer.render(max_url_bytes=1000 + number)
            await balancer.reload()
    assert load.tally.failed == 0, load.tally.examples


async def test_a_reload_with_a_wrong_file_changes_nothing(balancer: Balancer) -> None:
    balancer.file.write_text("nonsense\n")
    before = balancer.workers()
    await balancer.signal_to_reload()
    await eventually(lambda: "unknown keyword" in balancer.log(), within_s=10)
    assert (await once(balancer.port, get())).status == 200
    assert balancer.workers() == before


async def test_statistics_are_for_this_machine_and_its_user_alone(balancer: Balancer) -> None:
    assert stat.S_IMODE(balancer.socket.stat().st_mode) == 0o600
    await once(balancer.port, get())

    def asked(path: str) -> str:
        url = f"http://{balancer.private}{path}"
        with urllib.request.urlopen(url, timeout=5) as answer:
            return str(answer.read().decode())

    text = await asyncio.to_thread(asked, "/metrics")
    assert re.search(r'haproxy_server_http_responses_total\{proxy="web",server="web\.1"', text)
    await asyncio.to_thread(asked, "/readyz")
    assert (await once(balancer.port, get("/metrics"))).body.startswith("web."), "not for people"
