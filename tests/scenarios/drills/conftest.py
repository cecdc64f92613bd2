"""A stage for the faults: a real stack on rung 1 with the application of drills."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from drilling import Drilled, brought_up

from millions.drill.faults import network
from millions.errors import MachineError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def drilled() -> AsyncIterator[Drilled]:
    async with brought_up(rung=1) as made:
        yield made


@pytest.fixture
def as_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("rules of the network and mounts need root")


@pytest.fixture
def packet_filters(as_root: None) -> None:
    try:
        network.require("nft", "iptables")
    except MachineError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(error.because)
