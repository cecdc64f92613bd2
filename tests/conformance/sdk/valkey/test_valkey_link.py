"""The client against the real server: every call is answered, or fails, soon."""

import asyncio
import signal
import time
from pathlib import Path

import pytest

from millions.directory import Endpoint
from millions.sdk.valkey import AwayError, Greeting, Link, Script, wire
from millions.testing import eventually

DOUBLE = Script("return 2 * ARGV[1]")
SLACK_S = 3
"""What a busy machine may add."""


async def test_many_callers_get_each_their_own_answer(linked):
    link = await linked()
    names = [f"k{n}" for n in range(3000)]
    await asyncio.gather(*(link.wire.send("SET", name, name * 3) for name in names))
    answers = await asyncio.gather(*(link.wire.send("GET", name) for name in names))
    assert answers == [(name * 3).encode() for name in names]


async def test_the_commands_of_one_turn_leave_in_one_write(linked, monkeypatch):
    link = await linked()
    writes = []
    transport = link.wire._transport
    link.wire._transport = Recorder(transport, writes)
    await asyncio.gather(*(link.wire.send("SET", f"k{n}", n) for n in range(50)))
    link.wire._transport = transport
    assert len(writes) == 1


class Recorder:
    def __init__(self, transport, writes):
        self._transport = transport
        self._writes = writes

    def __getattr__(self, name):
        return getattr(self._transport, name)

    def write(self, data):
        self._writes.append(data)
        self._transport.write(data)


async def test_bytes_and_odd_texts_come_back_as_they_are(linked):
    link = await linked()
    for text in ("é ✓", "a\r\nb", "", "*3\r\n$1\r\n", "x" * 1_000_000):
        await link.wire.send("SET", text, text.encode())
        assert await link.wire.send("GET", text) == text.encode()
    assert await link.wire.send("GET", "absent") is None


async def test_what_the_server_refuses_fails_that_call_alone(linked):
    link = await linked()
    good, bad, next_good = (
        link.wire.send("PING"),
        link.wire.send("NONSENSE"),
        link.wire.send("PING"),
    )
    assert [await good, await next_good] == [b"PONG", b"PONG"]
    with pytest.raises(AwayError, match="unknown command"):
        await bad


async def test_scripts_are_told_to_the_server_before_the_link_is_used(linked):
    link = await linked()
    assert await link.wire.run(DOUBLE, [], 21) == 42


async def test_a_caller_that_stops_waiting_disturbs_no_other(linked):
    link = await linked()
    given_up, kept = link.wire.send("ECHO", "a"), link.wire.send("ECHO", "b")
    given_up.cancel()
    assert await kept == b"b"


async def test_a_wrong_password_and_none_never_become_a_link(linked, tmp_path):
    wrong = tmp_path / "wrong"
    wrong.write_text("wrong")
    for greeting in (Greeting(password_file=str(wrong)), Greeting(scripts=(DOUBLE,))):
        link = await linked(greeting=greeting, wait=False)
        await eventually(
            lambda link=link: "AUTH" in link.trouble or "PASS" in link.trouble, within_s=5
        )
        assert link.wire is None


async def test_a_server_that_nobody_let_be_used_is_not(linked):
    asked = []

    async def not_yet(made):
        asked.append(await made.send("PING"))
        return len(asked) > 2

    link = await linked(ready=not_yet)
    assert asked == [b"PONG"] * 3
    assert await link.wire.send("PING") == b"PONG"


async def test_a_killed_server_is_away_at_once_and_back_when_it_is(linked, server):
    link = await linked()
    under_way = [link.wire.send("GET", "k") for _ in range(100)]
    server.stop()
    await eventually(lambda: link.wire is None, within_s=10)
    failed = await asyncio.gather(*under_way, return_exceptions=True)
    assert all(each is None or isinstance(each, AwayError) for each in failed)
    server.start()
    await eventually(lambda: link.wire is not None, within_s=5)
    assert await link.wire.send("PING") == b"PONG"
    assert link.losses == 1


async def test_a_frozen_server_costs_its_callers_one_short_wait(linked, server):
    link = await linked(deadline_s=wire.DEADLINE_S)
    server.send(signal.SIGSTOP)
    try:
        began = time.monotonic()
        calls = [link.wire.send("GET", f"k{n}") for n in range(100)]
        failed = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(each, AwayError) for each in failed)
        assert time.monotonic() - began < 2 * wire.DEADLINE_S + SLACK_S
        assert link.wire is None
    finally:
        server.send(signal.SIGCONT)
    await eventually(lambda: link.wire is not None, within_s=5)


async def test_a_server_that_froze_while_nobody_asked_is_noticed(linked, server):
    link = await linked(deadline_s=wire.DEADLINE_S)
    server.send(signal.SIGSTOP)
    try:
        await eventually(lambda: link.wire is None, within_s=10)
    finally:
        server.send(signal.SIGCONT)


async def test_more_commands_than_fit_are_refused_and_not_queued(linked, monkeypatch):
    monkeypatch.setattr(wire, "PENDING_MAX", 10)
    link = await linked()
    calls = [link.wire.send("PING") for _ in range(10)]
    with pytest.raises(AwayError, match="too many"):
        link.wire.send("PING")
    assert await asyncio.gather(*calls) == [b"PONG"] * 10


async def test_a_peer_that_speaks_something_else_is_never_a_link():
    async def chatter(reader, writer):
        await reader.read(10)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" * 10)
        await writer.drain()
        writer.close()

    peer = await asyncio.start_server(chatter, "127.0.0.1", 0)
    host, port = peer.sockets[0].getsockname()
    asked = []

    async def ready(made):
        asked.append(made)
        return True

    link = Link(Endpoint(host=host, port=port), Greeting(), ready=ready)
    link.open()
    await eventually(lambda: link.trouble != "not connected yet", within_s=5)
    await link.close()
    peer.close()
    assert not asked


async def test_the_password_is_in_no_trouble_that_is_told(linked, server):
    other = Path(server.folder) / "other"
    other.write_text("a-secret-that-is-wrong")
    link = await linked(greeting=Greeting(password_file=str(other)), wait=False)
    await eventually(lambda: link.trouble != "not connected yet", within_s=5)
    assert "a-secret" not in link.trouble


async def test_closing_ends_who_waits_and_nothing_is_left_running(linked, server):
    link = await linked()
    server.send(signal.SIGSTOP)
    waiting = link.wire.send("GET", "k")
    await link.close()
    server.send(signal.SIGCONT)
    with pytest.raises(AwayError):
        await waiting
    assert link.connected is None
