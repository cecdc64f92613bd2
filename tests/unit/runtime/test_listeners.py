"""A public socket must serve whoever listens on it next, however often its unit died before."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from millions.model import Address
from millions.runtime.listeners import Listeners
from millions.runtime.sockets import BACKLOG

if TYPE_CHECKING:
    from collections.abc import Iterator

    from millions.runtime.state import StateFolder

WITHIN_S = 5.0


@pytest.fixture
def held(state: StateFolder) -> Iterator[tuple[Listeners, socket.socket]]:
    """The listeners of a stack, and the socket that its web server is given."""
    listeners = Listeners(state)
    with socket.socket() as probe:
        probe.bind((f"127.{state.identity.network}.9.1", 0))
        host, port = probe.getsockname()
    yield listeners, listeners.get("web.1", Address(host=host, port=port))
    listeners.keep(frozenset())


@pytest.mark.parametrize("deaths", [1, 2, 3])
def test_a_unit_that_died_again_before_it_listened_is_reached_later(
    held: tuple[Listeners, socket.socket], deaths: int
) -> None:
    listeners, server = held
    for _ in range(deaths):
        listeners.refuse("web.1")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(server.getsockname(), WITHIN_S)
    inherited = socket.socket(fileno=os.dup(server.fileno()))
    inherited.listen(BACKLOG)
    with inherited, socket.create_connection(server.getsockname(), WITHIN_S) as client:
        inherited.settimeout(WITHIN_S)
        accepted, _ = inherited.accept()
        with accepted:
            client.sendall(b"asked")
            assert accepted.recv(16) == b"asked"
            accepted.sendall(b"answered")
        assert client.recv(16) == b"answered"


def test_an_address_that_another_unit_takes_over_goes_on_answering(
    held: tuple[Listeners, socket.socket],
) -> None:
    listeners, server = held
    host, port = server.getsockname()
    listeners.get("balancer.1", Address(host=host, port=port))
    listeners.refuse("web.1")
    socket.create_connection(server.getsockname(), WITHIN_S).close()
    listeners.keep(frozenset({("web.1", f"{host}:{port}")}))
    listeners.refuse("web.1")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(server.getsockname(), WITHIN_S)
