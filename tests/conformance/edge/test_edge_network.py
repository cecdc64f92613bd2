"""A delivery network is told of purges by its hook, and what it answers is believed."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest
from edge_rig import SECRET

from millions.directory import EdgePlace, Endpoint
from millions.errors import UnavailableError
from millions.runtime.ports import free_port
from millions.sdk import edge_purging as purging

if TYPE_CHECKING:
    from pathlib import Path

    from edge_rig import Origin, Varnish

KEYS = ["user:7", purging.path_key("/photos/7")]


async def asked(place: EdgePlace, status: str) -> tuple[list[purging.Purged], bytes]:
    """What came of a purge at a hook that answers with `status`, and what it was sent."""
    got: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        size = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        got.append(head + await reader.readexactly(size))
        writer.write(
            f"HTTP/1.1 {status}\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{{}}".encode()
        )
        writer.close()

    port = int(place.hook.rpartition(":")[2])
    async with await asyncio.start_server(answer, "127.0.0.1", port):
        outcomes = await purging.purge(place, KEYS)
    return outcomes, got[0]


def place(tmp_path: Path) -> EdgePlace:
    (tmp_path / "token").write_text("t0ken\n")
    return EdgePlace(
        base_url="https://cdn.test",
        hook=f"http://127.0.0.1:{free_port()}",
        token_file=str(tmp_path / "token"),
    )


async def test_a_network_hears_what_is_to_be_forgotten(tmp_path: Path) -> None:
    outcomes, sent = await asked(place(tmp_path), "200 OK")
    head, _, body = sent.partition(b"\r\n\r\n")
    assert json.loads(body) == {"files": ["https://cdn.test/photos/7"], "tags": ["user:7"]}
    assert b"Authorization: Bearer t0ken" in head
    purging.checked(outcomes)


async def test_a_network_that_refuses_is_a_purge_that_failed(tmp_path: Path) -> None:
    outcomes, _ = await asked(place(tmp_path), "403 Forbidden")
    with pytest.raises(UnavailableError, match="403"):
        purging.checked(outcomes)


async def test_an_edge_that_is_away_is_said_and_the_others_do_it(
    edge: Varnish, origin: Origin, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text(f"{SECRET}\n")
    path = origin.told("/told", cache_control="public, max-age=60", surrogate_key="user:7")
    await edge.get(path)
    away = Endpoint(host="127.0.0.1", port=free_port())
    here = Endpoint(host=edge.address.host, port=edge.address.port)
    both = EdgePlace(servers=(away, here), secret_file=str(secret))
    outcomes = await purging.purge(both, KEYS)
    assert [(bool(each.failure), each.objects) for each in outcomes] == [(True, None), (False, 1)]
    assert not (await edge.get(path)).kept
    secret.write_text("another secret\n")
    refused = await purging.purge(EdgePlace(servers=(here,), secret_file=str(secret)), KEYS)
    assert refused[0].failure == "it answered 403"


@pytest.mark.parametrize("body", [b"12\n", b"12" + b" " * 9000], ids=["short", "too long"])
async def test_an_answer_that_comes_in_pieces_is_read_whole_and_bounded(
    tmp_path: Path, body: bytes
) -> None:
    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for part in (b"HTTP/1.1 200 OK\r\n\r\n", body[:1], body[1:]):
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.05)  # sleeps: a part that comes later
        writer.close()

    server = await asyncio.start_server(late, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    secret = tmp_path / "secret"
    secret.write_text("secret")
    place = EdgePlace(servers=(Endpoint(host=host, port=port),), secret_file=str(secret))
    try:
        (told,) = await purging.purge(place, ["a"])
    finally:
        server.close()
    assert (told.objects, told.failure) == (12, "")
