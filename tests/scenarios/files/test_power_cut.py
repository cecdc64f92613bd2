"""A power cut that empties the index of a volume must lose no file that was on the disk."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import obstore
import pytest

from millions.testing.seaweed import EmbeddedSeaweed, program
from millions.tiers.seaweedfs import MEND

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(240)

TORN = b"half of what was being written"


def mend(data: Path) -> None:
    """Run what a volume server begins with."""
    subprocess.run(["/bin/sh", "-c", MEND, str(data), program(), "-h"], check=False, timeout=60)


def read(server: EmbeddedSeaweed, name: str) -> bytes:
    """What is read; nothing when it cannot be."""
    try:
        return bytes(obstore.get(server.store(), name).bytes())
    except (OSError, obstore.exceptions.BaseError):
        return b""


def test_the_index_is_made_anew_from_the_files_after_the_machine_has_started_again(
    tmp_path: Path,
) -> None:
    server = EmbeddedSeaweed(tmp_path)
    files = {f"data/{number}": os.urandom(10_000) for number in range(20)}
    weed = tmp_path / "weed"
    (tmp_path / "data").mkdir()
    weed.symlink_to(tmp_path / "data")
    try:
        server.start()
        for name, content in files.items():
            obstore.put(server.store(), name, content)
        server.stop()
        for each in weed.glob("*.idx"):
            os.truncate(each, 0)
        for each in weed.glob(f"{'files'}_*.dat"):
            with each.open("ab") as file:
                file.write(TORN)
        (tmp_path / "boot").write_text("another start of the machine\n")
        mend(tmp_path)
        server.start()
        assert [name for name, content in files.items() if read(server, name) != content] == []
    finally:
        server.stop()


def test_the_index_is_left_alone_while_the_machine_runs(tmp_path: Path) -> None:
    (tmp_path / "weed").mkdir()
    mend(tmp_path)
    (tmp_path / "weed" / "1.dat").write_bytes(TORN)
    mend(tmp_path)
    assert not (tmp_path / "weed" / "1.idx").exists()
