"""Holds every packet of one NFQUEUE for a while: `python -m millions.drill.faults.delay N MS`.

It looks at no packet and drops none; when it dies the kernel lets packets pass (`--queue-bypass`).

Source: nfnetlink_queue(7) in batches, as in `notes/edge.md`.
"""

from __future__ import annotations

import collections
import os
import select
import socket
import struct
import sys
import time

NETLINK_NETFILTER, SUBSYSTEM_QUEUE = 12, 3
PACKET, CONFIG, BATCH_VERDICT = 0, 2, 3
SOL_NETLINK, NO_ENOBUFS = 270, 5
SO_RCVBUFFORCE = 33
BUFFER_BYTES = 32 << 20
QUEUE_MAX = 65_536
FAIL_OPEN_AND_GSO = 5
HEADER_BYTES, NETFILTER_BYTES = 16, 4
ACCEPT = 1
SPIN_S = 0.0015
PARENT_LOOK_MS = 500
READS_MAX = 64


def attribute(number: int, data: bytes) -> bytes:
    """One attribute of a message, padded to four bytes."""
    return struct.pack("=HH", 4 + len(data), number) + data + b"\0" * (-len(data) % 4)


def message(kind: int, queue: int, attributes: bytes, *, acknowledge: bool) -> bytes:
    """One message to the queue."""
    body = struct.pack("=BBH", 0, 0, socket.htons(queue)) + attributes
    flags = 1 | (4 if acknowledge else 0)
    head = struct.pack("=IHHII", HEADER_BYTES + len(body), SUBSYSTEM_QUEUE << 8 | kind, flags, 0, 0)
    return head + body


def opened(queue: int) -> socket.socket:
    """Bind the queue; only the packets' numbers are sent to us. Raise OSError."""
    made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
    made.bind((0, 0))
    made.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)
    made.setsockopt(SOL_NETLINK, NO_ENOBUFS, 1)
    for attributes in (
        attribute(1, struct.pack(">BBH", 1, 0, socket.AF_INET)),
        attribute(2, struct.pack(">IB", 0, 1)),
        attribute(3, struct.pack(">I", QUEUE_MAX)),
        attribute(5, struct.pack(">I", FAIL_OPEN_AND_GSO))
        + attribute(4, struct.pack(">I", FAIL_OPEN_AND_GSO)),
    ):
        made.send(message(CONFIG, queue, attributes, acknowledge=True))
        (code,) = struct.unpack_from("=i", made.recv(65_536), HEADER_BYTES)
        if code:
            raise OSError(-code, "the kernel refuses the queue")
    made.setblocking(False)  # noqa: FBT003  # its only parameter
    return made


def numbers(data: bytes) -> list[int]:
    """The numbers of the packets that one read tells of."""
    found: list[int] = []
    at = 0
    while at < len(data):
        length, kind = struct.unpack_from("=IH", data, at)
        inside = at + HEADER_BYTES + NETFILTER_BYTES
        while kind == SUBSYSTEM_QUEUE << 8 | PACKET and inside < at + length:
            size, number = struct.unpack_from("=HH", data, inside)
            if number == 1:
                found.append(struct.unpack_from(">I", data, inside + 4)[0])
                break
            inside += (size + 3) & ~3
        at += (length + 3) & ~3
    return found


def serve(queue: int, delay_s: float) -> None:
    """Hold packets until our parent is gone."""
    made = opened(queue)
    poll = select.poll()
    poll.register(made, select.POLLIN)
    held: collections.deque[tuple[float, int]] = collections.deque()
    parent = os.getppid()
    print("ready", flush=True)  # noqa: T201  # whoever started us waits for it
    while os.getppid() == parent:
        _wait(poll, held)
        now = time.monotonic()
        try:
            for _ in range(READS_MAX):
                held.extend((now + delay_s, each) for each in numbers(made.recv(65_536)))
        except BlockingIOError:
            pass
        last = 0
        while held and held[0][0] <= time.monotonic():
            last = held.popleft()[1]
        if last:
            verdict = attribute(2, struct.pack(">II", ACCEPT, last))
            made.send(message(BATCH_VERDICT, queue, verdict, acknowledge=False))


def _wait(poll: select.poll, held: collections.deque[tuple[float, int]]) -> None:
    if not held:
        poll.poll(PARENT_LOOK_MS)
        return
    left_s = held[0][0] - time.monotonic()
    if left_s > 0:
        poll.poll(max(1, int(left_s * 1000)) if left_s > SPIN_S else 0)


if __name__ == "__main__":
    serve(int(sys.argv[1]), float(sys.argv[2]) / 1000)
