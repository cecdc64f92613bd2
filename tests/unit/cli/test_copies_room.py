"""New copies of the database are refused beforehand where the disk has no room for them."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from millions import stack as stacks
from millions.cli import copies
from millions.cli.opened import Opened
from millions.errors import MachineError
from millions.model import Unit
from millions.runtime.state import Identity, StateFolder

if TYPE_CHECKING:
    from pathlib import Path

TEXT = 'rung = 4\n[app]\nname = "photos"\nweb = "photos.web:app"\n[database]\nmemory_mib = 64\n'
UNITS = tuple(Unit(name=f"database.{n}", tier="database", command=("x",)) for n in (1, 2, 3))


@pytest.fixture
def opened(tmp_path: Path) -> Opened:
    file = tmp_path / "millions.toml"
    identity = Identity(name="photos", stack_file=str(file), network=7)
    state = StateFolder(path=tmp_path, identity=identity, account=None)
    return Opened(file=file, stack=stacks.parse(TEXT), state=state)


def first_has(size: int, others: int = 0):
    return lambda folder: size if "database.1" in str(folder) else others


def test_each_new_copy_needs_the_room_of_the_largest(opened: Opened, tmp_path: Path):
    free = shutil.disk_usage(tmp_path).free
    with pytest.raises(MachineError, match=r"make the data of database\.2, database\.3") as found:
        copies.fits(opened, UNITS, first_has(free // 2))
    assert "replicas = 0" in found.value.try_
    copies.fits(opened, UNITS, first_has(free // 4))
    copies.fits(opened, UNITS, first_has(free // 2, others=1))  # nobody is copied
    copies.fits(opened, UNITS[:1], first_has(free * 2))
