"""An answer goes out whole: its head waits for the first part of its body, for one turn."""

from __future__ import annotations

import asyncio

from millions.sdk.lingering import Lingering

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"


class Wire:
    """A transport that keeps what it is given."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        self.sent.append(data)

    def is_closing(self) -> bool:
        return self.closed

    def can_write_eof(self) -> bool:
        return True

    def close(self) -> None:
        self.closed = True


def made() -> tuple[Lingering, Wire]:
    wire = Wire()
    return Lingering(wire, asyncio.get_running_loop(), lambda: False), wire


async def test_head_and_body_are_one_write() -> None:
    lingering, wire = made()
    lingering.write(HEAD)
    lingering.write(b"ok")
    lingering.write(b"next")
    assert wire.sent == [HEAD + b"ok", b"next"]
    await asyncio.sleep(0)
    assert wire.sent == [HEAD + b"ok", b"next"]


async def test_a_head_alone_goes_out_in_the_next_turn() -> None:
    lingering, wire = made()
    lingering.write(HEAD)
    assert wire.sent == []
    await asyncio.sleep(0)
    assert wire.sent == [HEAD]


async def test_a_large_part_of_a_body_is_not_copied() -> None:
    lingering, wire = made()
    part = b"a" * 1_000_000
    lingering.write(HEAD)
    lingering.write(part)
    assert wire.sent[0] == HEAD
    assert wire.sent[1] is part


async def test_a_close_sends_what_was_written_first() -> None:
    lingering, wire = made()
    lingering.write(HEAD)
    lingering.close()
    assert (wire.sent, wire.closed) == ([HEAD], True)


async def test_nothing_is_written_to_a_connection_that_is_gone() -> None:
    lingering, wire = made()
    lingering.write(HEAD)
    lingering.gone()
    await asyncio.sleep(0)
    assert wire.sent == []
