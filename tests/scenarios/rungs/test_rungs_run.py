"""The stack file of each rung must run as it stands, and its new units may die."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from grown import Grown

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.timeout(420)  # up to 25 units start, on a busy machine slowly

EDGES = ("edge.1", "edge.2")


@contextmanager
def up(example: str) -> Iterator[Grown]:
    root = Path(tempfile.mkdtemp(prefix="millions-rung-", dir="/tmp"))
    root.chmod(0o755)
    stack = Grown(root=root, example=example)
    stack.make()
    try:
        stack.millions("up", "--detach")
        yield stack
    finally:
        stack.end()
        shutil.rmtree(root, ignore_errors=True)


@pytest.mark.parametrize(
    ("example", "dying"),
    [
        ("05-cached.toml", ("cache.1",)),
        ("06-delivered.toml", ("edge.1", "files-gateway.1")),
        ("07-stateless.toml", ("store.1", "cache.2")),
        ("09-queued.toml", ("workers.1", "queue.1", "edge.2", "store.2", "database.1")),
    ],
)
async def test_pictures_are_shown_while_units_of_the_rung_die(
    example: str, dying: tuple[str, ...]
) -> None:
    with up(example) as stack:
        names = {each["name"] for each in stack.status()["units"]}
        assert names.issuperset(dying)
        ada = stack.person()
        await ada.sign_up()
        before = await ada.show("before")
        stack.kill(*dying)
        after = await ada.show("after")  # still logged in
        for each in (before, after):
            for _ in range(2):
                picture = await ada.fetched(each["small_url"])
                assert picture.status_code == 200
                assert picture.content.startswith(b"\xff\xd8\xff"), "a JPEG"
        if names.issuperset(EDGES):
            assert picture.headers["cache-status"].startswith("edge.")
        await ada.client.aclose()
        await stack.well()
