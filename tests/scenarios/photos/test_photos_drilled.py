"""Users of a drill must ask for pictures too: what edges and servers of files are there for."""

import asyncio
from pathlib import Path
from urllib.parse import urlsplit

from millions.drill import history
from millions.drill.history import Header, Operation, Writer
from millions.drill.workloads.choice import workload
from millions.drill.workloads.workload import Site
from millions.model import Address
from millions.testing import eventually

CLIENTS = 3
OPERATIONS = 200
"""Half of them are views; the first pictures are developed long before the last."""


async def driven(target: str, site_url: str, path: Path) -> list[Operation]:
    """What users did who acted for a while."""
    place = urlsplit(site_url)
    address = Address(host=place.hostname or "", port=place.port or 0)
    with Writer(path, Header(promises=("G1",), may_fail="none")) as writer:
        site = Site(address=address, writer=writer, clients=CLIENTS, rate_per_s=60.0)
        users = workload(target, site, ())
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
    return [each for each in history.read(path) if isinstance(each, Operation)]


def outcomes(operations: list[Operation]) -> set[tuple[str, object]]:
    return {(each.outcome, each.status) for each in operations}


async def test_who_views_a_photo_in_a_drill_fetches_its_picture(photos_site: str, tmp_path: Path):
    operations = await driven("photos", photos_site, tmp_path / "history.jsonl")
    pictures = [each for each in operations if each.kind == "picture"]
    assert pictures
    assert outcomes(pictures) == {("ok", 200)}


async def test_guests_of_a_drill_fetch_pages_and_what_is_on_them(photos_site: str, tmp_path: Path):
    operations = await driven("guests", photos_site, tmp_path / "history.jsonl")
    looks = [each for each in operations if each.user.startswith("guest")]
    assert {"start", "explore", "profile", "part"} == {each.kind for each in looks}
    assert outcomes(looks) == {("ok", 200)}
    assert sum(each.kind == "part" for each in looks) > len(looks) / 2
