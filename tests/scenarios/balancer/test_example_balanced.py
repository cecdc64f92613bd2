"""The example of rung 3 must run as it stands."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from site_stack import HOST, said

from millions.model import Address
from millions.runtime.ports import free_port
from millions.testing import command_line, eventually
from millions.testing.load import Load, ask, get

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLES = Path(__file__).parents[3] / "examples"


class Example:
    """A copy of the example, on a port of its own."""

    def __init__(self, root: Path) -> None:
        self.port = free_port()
        self._folder, self._home = root / "example", root / "example-state"
        self._home.mkdir(mode=0o755)
        shutil.copytree(
            EXAMPLES / "photos", self._folder / "photos", ignore=shutil.ignore_patterns("__pyc*")
        )
        text = (EXAMPLES / "03-balanced.toml").read_text()
        listens = '# listen = "127.0.0.1:8000"'
        assert listens in text
        (self._folder / "millions.toml").write_text(
            text.replace(listens, f'listen = "{HOST}:{self.port}"', 1)
        )

    def millions(self, *arguments: str) -> str:
        return command_line.run(*arguments, folder=self._folder, home=self._home).out

    @property
    def socket(self) -> Path:
        (found,) = self._home.glob("*/run/balancer.1.sock")
        return found


@pytest.fixture(scope="module")
def example(root: Path) -> Iterator[Example]:
    made = Example(root)
    made.millions("up", "--detach")
    yield made
    made.millions("down")


async def test_three_web_servers_answer_at_one_address(example: Example) -> None:
    page = await ask(HOST, example.port, get("/")(0))
    assert page.status == 200
    assert b"<title>photos</title>" in page.body
    status = json.loads(await asyncio.to_thread(example.millions, "status", "--json"))
    assert status["well"] is True
    assert [unit["name"] for unit in status["units"] if unit["tier"] == "web"] == [
        "web.1",
        "web.2",
        "web.3",
    ]

    def asked() -> bool:
        rows = {each["svname"]: int(each["stot"]) for each in said(example.socket, "show stat")}
        return all(rows[f"web.{number}"] > 10 for number in (1, 2, 3))

    async with Load(Address(host=HOST, port=example.port), clients=6, path="/") as load:
        await eventually(asked, within_s=60)
    assert load.tally.failed == 0, load.tally.examples
