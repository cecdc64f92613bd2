"""The clients of a climb, a process of their own: `python -m millions.drill.climbs.client …`.

So that what they measure is not held up by the command that climbs. It ends when its input ends,
whoever closed it: a command that was killed leaves no load behind. Every line that it prints is a
JSON object: first `{"began_at_s": …}`, then what happened in each half second, `{"load_until": …}`
when nobody asks any more, and last `{"ended": …}`.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from millions.drill.climbs.recent import Recent
from millions.drill.history import Header
from millions.drill.workloads.choice import TARGETS, workload
from millions.drill.workloads.workload import Site
from millions.errors import MillionsError
from millions.model import Address

if TYPE_CHECKING:
    from collections.abc import Mapping

PROMISES = {
    "pure": ("G1", "G2", "G4"),
    "nouns": ("G1", "G2", "G4", "G5", "G6"),
    "photos": ("G1", "G2"),
    "guests": ("G1", "G2"),
    "pages": ("G2",),
}
"""What a climb has to keep and a workload can prove: no write is lost, no request fails, nobody
reads what is older."""

TELL_EVERY_S = 0.5
INPUT_BYTES = 1024


def main(arguments: list[str]) -> int:
    """Drive until the input ends, take the last look, and say so."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address", metavar="HOST:PORT")
    parser.add_argument("history", type=Path)
    parser.add_argument("--workload", choices=list(TARGETS), required=True)
    parser.add_argument("--clients", type=int, required=True)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--note", default="")
    parser.add_argument("--path", action="append", default=[])
    found = parser.parse_args(arguments)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for the command, which ends us
    host, _, port = found.address.rpartition(":")
    header = Header(
        promises=PROMISES[found.workload], may_fail="none", drill="climb", note=found.note
    )
    with Recent(found.history, header) as writer:
        site = Site(
            address=Address(host=host, port=int(port)),
            writer=writer,
            clients=found.clients,
            rate_per_s=found.rate,
        )
        try:
            asyncio.run(_drive(site, found.workload, tuple(found.path)))
        except MillionsError as error:
            _tell({"cannot": error.cannot, "because": error.because, "try": error.try_})
            return 1
    _tell({"ended": True})
    return 0


async def _drive(site: Site, name: str, paths: tuple[str, ...]) -> None:
    users = workload(name, site, paths)
    closed = asyncio.create_task(_closed(), name="input")
    began_at_s = time.time() - site.clock.now()
    await users.prepare()
    _tell({"began_at_s": began_at_s, "load_from": site.clock.now()})
    load = asyncio.create_task(users.run(), name="load")
    teller = asyncio.create_task(_tell_on(site), name="progress")
    try:
        await asyncio.wait({load, closed}, return_when=asyncio.FIRST_COMPLETED)
        site.stopping = True
        await load
    finally:
        for each in (teller, closed):
            each.cancel()
        await asyncio.gather(teller, closed, return_exceptions=True)
    _tell({"load_until": site.clock.now()})
    await users.finish()


async def _closed() -> None:
    """Wait until the input ends."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while await reader.read(INPUT_BYTES):
        pass


async def _tell_on(site: Site) -> None:
    while True:
        await asyncio.sleep(TELL_EVERY_S)
        writer = site.writer
        if isinstance(writer, Recent):
            _tell(writer.told(site.clock.now()))


def _tell(said: Mapping[str, object]) -> None:
    with suppress(BrokenPipeError):  # nobody listens any more; the input has ended as well
        sys.stdout.write(orjson.dumps(said).decode() + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
