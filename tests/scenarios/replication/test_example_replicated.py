"""The example of rung 4 must run as it stands, and answer while its primary dies."""

from __future__ import annotations

import shutil
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from replicated import Replicated

from millions.testing import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.timeout(240)

EXAMPLES = Path(__file__).parents[3] / "examples"
LISTENS = '# listen = "127.0.0.1:8000"'


class Example(Replicated):
    """A copy of the example, on a port of its own."""

    def make(self) -> None:
        photos = shutil.ignore_patterns("__pyc*")
        shutil.copytree(EXAMPLES / "photos", self.folder / "photos", ignore=photos)
        text = (EXAMPLES / "04-replicated.toml").read_text()
        assert LISTENS in text
        self.file.write_text(text.replace(LISTENS, f'listen = "127.0.0.1:{self.port}"', 1))

    @property
    def name(self) -> str:
        return "photos"

    def page(self) -> int:
        """The status of the first page."""
        try:
            address = f"http://127.0.0.1:{self.port}/"
            with urllib.request.urlopen(address, timeout=15) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code


@pytest.fixture(scope="module")
def example(root: Path) -> Iterator[Example]:
    made = Example(root=root)
    made.make()
    try:
        made.millions("up", "--detach")
        yield made
    finally:
        made.end()


async def test_the_example_answers_while_its_primary_dies(example: Example) -> None:
    assert example.page() == 200
    former = example.leader()
    example.kill_server(former)
    assert [example.page() for _ in range(20)] == [200] * 20
    await eventually(lambda: example.leader() not in ("", former), within_s=10)
    await example.settled()
    assert example.page() == 200
