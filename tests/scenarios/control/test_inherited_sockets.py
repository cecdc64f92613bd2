"""A public socket must outlive every process and every supervisor, whoever serves it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from stacks import more

from millions.drill.load import Load
from millions.model import Probe, Unit

if TYPE_CHECKING:
    from stacks import Stack

MUTE = """
import os, select, signal, socket, sys
numbers = range(3, 3 + int(os.environ["MILLIONS_LISTEN_FDS"]))
listeners = [socket.socket(fileno=each) for each in numbers]
stops = []
signal.signal(signal.SIGTERM, lambda *_: stops.append(1))
print("serving", sys.argv[1], flush=True)
while not stops:
    for listener in select.select(listeners, [], [], 0.05)[0]:
        client, _ = listener.accept()
        client.recv(65536)
        client.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")
        client.close()
"""
"""It serves what it inherited and hands nothing over, as HAProxy does."""


def mute(stack: Stack, version: str = "1") -> Unit:
    """A unit with two public addresses that gives its sockets to nobody."""
    second = stack.address(1)
    return Unit(
        name="mute",
        tier="mute",
        command=(sys.executable, "-c", MUTE, version),
        public=(stack.public, second),
        probe=Probe(
            address=second, send=b"GET / HTTP/1.0\r\n\r\n", expect=b"HTTP/1.1 200", interval_s=0.2
        ),
    )


async def test_every_public_address_of_a_unit_is_served(stack: Stack) -> None:
    (told,) = (await stack.up(mute(stack))).units
    assert told.public == (str(stack.public), str(stack.address(1)))
    for address in (stack.public, stack.address(1)):
        load = Load(address, clients=1, mode="new")
        await load.start()
        await more(load, 5)
        assert (await load.stop()).failed == 0


async def test_the_sockets_of_a_program_that_hands_nothing_over_are_adopted(stack: Stack) -> None:
    await stack.up(mute(stack))
    before = stack.pid("mute")
    load = Load(stack.public, clients=2, mode="new")
    await load.start()
    await more(load, 20)
    await stack.kill_supervisor()
    await stack.up(mute(stack))
    assert stack.pid("mute") == before
    await more(load, 20)
    await stack.up(mute(stack, "2"))  # the old process is gone before the new one begins
    assert stack.pid("mute") != before
    await more(load, 20)
    tally = await load.stop()
    assert tally.failed == 0, tally
