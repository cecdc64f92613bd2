"""Users of a drill must ask for pictures too: what edges and servers of files are there for."""

import asyncio
from pathlib import Path
from urllib.parse import urlsplit

from millions.drill import history
from millions.drill.history import Header, Operation, Writer
from millions.drill.workloads.photos import Photos
from millions.drill.workloads.workload import Site
from millions.model import Address
from millions.testing import eventually

CLIENTS = 3
OPERATIONS = 200
"""Half of them are views; the first pictures are developed long before the last."""


async def test_who_views_a_photo_in_a_drill_fetches_its_picture(photos_site: str, tmp_path: Path):
    place = urlsplit(photos_site)
    address = Address(host=place.hostname or "", port=place.port or 0)
    path = tmp_path / "history.jsonl"
    with Writer(path, Header(promises=("G1",), may_fail="none")) as writer:
        site = Site(address=address, writer=writer, clients=CLIENTS, rate_per_s=60.0)
        users = Photos(site)
        await users.prepare()
        load = asyncio.create_task(users.run())

        async def enough() -> bool:
            return site.count.good >= OPERATIONS

        try:
            await eventually(enough, within_s=60)
        finally:
            site.stopping = True
            await load
        await users.finish()
    operations = [each for each in history.read(path) if isinstance(each, Operation)]
    pictures = [each for each in operations if each.kind == "picture"]
    assert pictures
    assert {(each.outcome, each.status) for each in pictures} == {("ok", 200)}
