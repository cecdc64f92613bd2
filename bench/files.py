"""What files cost a web process: on a folder, on S3 storage, and obstore alone on the same storage.

The storage is one SeaweedFS process of the tests, with one copy and without `fsync`: this measures
what the client pays, and how long it waits at best.

    python bench/files.py [--rounds 5] [--operations 60]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import obstore
import uvloop
from rounds import Side, measure, report

from millions.sdk.files import Files
from millions.testing import EmbeddedPostgres, directory_for
from millions.testing.seaweed import EmbeddedSeaweed

if TYPE_CHECKING:
    from obstore.store import S3Store

    from millions.directory import Directory

CONTENT = os.urandom(100_000)


@dataclass(slots=True)
class Noun:
    """`files` as an application uses it."""

    files: Files
    numbers: count[int] = field(default_factory=count)

    async def put(self) -> None:
        await self.files.put(f"bench/{next(self.numbers)}", CONTENT)

    async def read(self) -> None:
        await self.files.read("bench/0")


@dataclass(slots=True)
class Bare:
    """obstore in a thread."""

    store: S3Store
    numbers: count[int] = field(default_factory=count)

    async def put(self) -> None:
        path = f"bare/{next(self.numbers)}"
        await asyncio.to_thread(obstore.put, self.store, path, CONTENT, use_multipart=False)

    async def read(self) -> None:
        await asyncio.to_thread(self._read)

    def _read(self) -> bytes:
        return bytes(obstore.get(self.store, "bare/0").bytes())


async def main(server: EmbeddedSeaweed, directory: Directory, rounds: int, operations: int) -> None:
    folder, bucket = Files(), Files()
    await folder.open(directory)
    await bucket.open(replace(directory, files=server.place(Path(directory.files.folder))))
    bare, on_folder, on_bucket = Bare(server.store()), Noun(folder), Noun(bucket)
    await bare.put()
    puts = [
        Side("obstore alone, S3", bare.put),
        Side("files on S3", on_bucket.put),
        Side("files in a folder", on_folder.put),
    ]
    reads = [
        Side("obstore alone, S3", bare.read),
        Side("files on S3", on_bucket.read),
        Side("files in a folder", on_folder.read),
    ]
    await measure(puts, rounds=rounds, operations=operations)
    await measure(reads, rounds=rounds, operations=operations)
    report("What a file of 100 kB costs", {"put": puts, "read": reads}, "files.json")
    await bucket.close()
    await folder.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--operations", type=int, default=60)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="millions-bench-", dir="/tmp") as root:
        place = EmbeddedPostgres(Path(root)).place("nowhere")
        server = EmbeddedSeaweed(Path(root) / "weed").start()
        try:
            told = directory_for(place, Path(root) / "stack")
            uvloop.run(main(server, told, options.rounds, options.operations))
        finally:
            server.stop()
