"""A small web server that keeps the rules of a unit: inherited socket, handover, drain, readiness.

Only the standard library, so that the supervisor is tried without the SDK. Every answer is logged
with its number before it is sent, but not by version "quiet".
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

IDLE_S = 1.0


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


class Server:
    """What all connections share."""

    def __init__(self, version: str) -> None:
        self.version = version
        self.answered = 0
        self.draining = False
        self.ready = False
        self.connections: set[Connection] = set()


class Connection(asyncio.Protocol):
    def __init__(self, server: Server, *, private: bool) -> None:
        self.server = server
        self.private = private
        self.data = b""
        self.active_s = 0.0
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.active_s = asyncio.get_running_loop().time()
        self.server.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's
        self.server.connections.discard(self)

    def data_received(self, data: bytes) -> None:
        self.data += data
        self.active_s = asyncio.get_running_loop().time()
        while b"\r\n\r\n" in self.data:
            head, _, self.data = self.data.partition(b"\r\n\r\n")
            self.answer(head)

    def answer(self, head: bytes) -> None:
        assert self.transport is not None
        server = self.server
        if self.private:
            status, body = ("200 OK", "ready") if server.ready else ("503 Wait", "not ready")
        else:
            server.answered += 1
            if server.version != "quiet":
                say(f"answer {os.getpid()} {server.answered}")
            status, body = "200 OK", server.version
        last = server.draining or b"connection: close" in head.lower()
        close = "Connection: close\r\n" if last else ""
        self.transport.write(
            f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{close}\r\n{body}".encode()
        )
        if last:
            self.transport.close()


def hand_over(path: str, listener: socket.socket) -> None:
    """Give the listening socket to whoever connects."""
    Path(path).unlink(missing_ok=True)
    door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    door.bind(path)
    door.listen(8)

    def give() -> None:
        asker, _ = door.accept()
        with asker:
            socket.send_fds(asker, [b"listener"], [listener.fileno()])

    asyncio.get_running_loop().add_reader(door.fileno(), give)


async def drain(server: Server) -> None:
    """Answer on until every connection was idle for long enough."""
    loop = asyncio.get_running_loop()
    for _ in range(8):  # what was accepted is a connection only some turns of the loop later
        await asyncio.sleep(0)
    while server.connections:
        for each in tuple(server.connections):
            if loop.time() - each.active_s > IDLE_S and each.transport is not None:
                each.transport.close()
        await asyncio.sleep(0.02)  # sleeps: this is the program under test, not a test


async def main(version: str, start_s: float) -> None:
    loop = asyncio.get_running_loop()
    server = Server(version)
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    host, port = os.environ["MILLIONS_PRIVATE"].split(":")
    await loop.create_server(lambda: Connection(server, private=True), host, int(port))
    await asyncio.sleep(start_s)  # sleeps: a start that takes its time
    listener = socket.socket(fileno=int(os.environ["MILLIONS_LISTEN_FD"]))
    hand_over(os.environ["MILLIONS_HANDOVER"], listener)
    await loop.create_server(lambda: Connection(server, private=False), sock=listener)
    server.ready = True
    say(f"serving {version}")
    await stop.wait()
    server.draining = True
    loop.remove_reader(listener.fileno())
    await drain(server)
    say(f"drained {version}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("version")
    parser.add_argument("--start-s", type=float, default=0.0)
    chosen = parser.parse_args()
    asyncio.run(main(chosen.version, chosen.start_s))
    os._exit(0)
