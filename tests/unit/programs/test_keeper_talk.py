"""Keepers hear only each other, and what a keeper has voted outlives it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from millions.directory import Endpoint
from millions.programs.keeper.ballots import Ballots
from millions.programs.keeper.talk import Listener, Peer
from millions.reconcile.election import Ballot
from millions.runtime.ports import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

HOST = "127.0.0.1"


class Heard:
    """Answers, and notes what it was asked."""

    def __init__(self) -> None:
        self.place = Endpoint(host=HOST, port=free_port())
        self.asked: list[dict[str, Any]] = []
        self.listener = Listener(self.place, "secret", self.answer)

    async def answer(self, said: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(said)
        return {"ok": True, "said": said["n"]}


@pytest.fixture
async def heard() -> AsyncIterator[Heard]:
    made = Heard()
    await made.listener.open()
    yield made
    made.listener.close()


async def test_who_has_the_password_is_answered_again_and_again(heard: Heard) -> None:
    peer = Peer(heard.place, "secret", own_host=HOST)
    for n in range(3):
        assert await peer.ask({"n": n}, within_s=5) == {"ok": True, "said": n}
    peer.close()


async def test_who_has_another_password_is_not_heard(heard: Heard) -> None:
    peer = Peer(heard.place, "guess", own_host=HOST)
    assert await peer.ask({"n": 1}, within_s=5) is None
    assert heard.asked == []
    peer.close()


async def test_an_answer_of_somebody_else_is_not_believed() -> None:
    place = Endpoint(host=HOST, port=free_port())

    async def forge(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"00\n")
        await reader.readline()
        writer.write(b'deadbeef {"ok": true}\n')
        writer.close()

    server = await asyncio.start_server(forge, place.host, place.port)
    peer = Peer(place, "secret", own_host=HOST)
    assert await peer.ask({"n": 1}, within_s=5) is None
    peer.close()
    server.close()


async def test_what_was_said_once_is_not_heard_a_second_time(heard: Heard) -> None:
    told: list[bytes] = []

    async def listen_in(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        beyond, onto = await asyncio.open_connection(heard.place.host, heard.place.port)
        writer.write(await beyond.readline())
        told.append(await reader.readline())
        onto.write(told[0])
        writer.write(await beyond.readline())
        onto.close()
        writer.close()

    between = Endpoint(host=HOST, port=free_port())
    server = await asyncio.start_server(listen_in, between.host, between.port)
    peer = Peer(between, "secret", own_host=HOST)
    assert await peer.ask({"n": 7}, within_s=5) == {"ok": True, "said": 7}
    peer.close()
    server.close()
    reader, writer = await asyncio.open_connection(heard.place.host, heard.place.port)
    await reader.readline()
    writer.write(told[0])
    assert await reader.read() == b""
    writer.close()
    assert len(heard.asked) == 1


def test_a_vote_is_remembered_and_half_a_file_is_never_read(tmp_path: Path) -> None:
    ballots = Ballots(tmp_path / "ballots.json")
    assert ballots.current == Ballot()
    ballots.keep(Ballot(term=3, voted_for="store.2"))
    assert Ballots(tmp_path / "ballots.json").current == Ballot(term=3, voted_for="store.2")
    assert [path.name for path in tmp_path.iterdir()] == ["ballots.json"]
