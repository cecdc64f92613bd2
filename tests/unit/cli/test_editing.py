from __future__ import annotations

import os
import tomllib
from typing import TYPE_CHECKING

import pytest

from millions.cli import editing
from millions.errors import StackFileError

if TYPE_CHECKING:
    from pathlib import Path

FILE = """\
# photos, as it runs here
rung = 3   # three

[app]
name = "photos"
web = "photos.web:app"   # the entry

[web]
# two are enough
servers = 2  # for now
drain_s = 5

[database]
memory_mib = 128
"""


def test_one_value_changes_and_nothing_else() -> None:
    assert editing.changed(FILE, "web", "servers", 4) == FILE.replace("servers = 2", "servers = 4")


def test_a_key_at_the_top_is_written_at_the_top() -> None:
    assert editing.changed(FILE, None, "rung", 4) == FILE.replace("rung = 3", "rung = 4")


def test_a_missing_key_at_the_top_does_not_end_up_in_a_table() -> None:
    text = editing.changed('[app]\nname = "photos"\n', None, "rung", 2)
    assert tomllib.loads(text) == {"rung": 2, "app": {"name": "photos"}}


def test_a_missing_key_is_added_to_its_table() -> None:
    text = editing.changed(FILE, "app", "migrate", "true")
    assert tomllib.loads(text)["app"]["migrate"] == "true"
    assert [line for line in FILE.splitlines() if line not in text.splitlines()] == []


def test_a_missing_table_is_added_at_the_end() -> None:
    text = editing.changed(FILE, "balancer", "sticky", value=True)
    assert text == FILE + "\n[balancer]\nsticky = true\n"


@pytest.mark.parametrize(
    "text",
    ["web = { servers = 2, drain_s = 5 }\n", "web.servers = 2\nweb.drain_s = 5\n"],
    ids=["inline", "dotted"],
)
def test_other_ways_to_write_a_table_stay(text: str) -> None:
    assert editing.changed(text, "web", "servers", 3) == text.replace("= 2", "= 3")


def test_line_ends_of_other_systems_stay(tmp_path: Path) -> None:
    path = tmp_path / "millions.toml"
    path.write_bytes(FILE.replace("\n", "\r\n").encode())
    editing.set_value(path, "web", "servers", 5)
    assert path.read_bytes() == FILE.replace("servers = 2", "servers = 5").encode().replace(
        b"\n", b"\r\n"
    )


def test_the_former_text_can_be_put_back(tmp_path: Path) -> None:
    path = tmp_path / "millions.toml"
    path.write_text(FILE)
    former = editing.set_value(path, "web", "servers", 9)
    assert tomllib.loads(path.read_text())["web"]["servers"] == 9
    editing.put_back(path, former)
    assert path.read_text() == FILE
    assert [each.name for each in tmp_path.iterdir()] == ["millions.toml"]


def test_mode_and_link_stay(tmp_path: Path) -> None:
    real, link = tmp_path / "real.toml", tmp_path / "millions.toml"
    real.write_text(FILE)
    real.chmod(0o640)
    link.symlink_to(real)
    editing.set_value(link, "web", "servers", 3)
    assert link.is_symlink()
    assert real.stat().st_mode & 0o777 == 0o640
    assert "servers = 3" in real.read_text()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_the_owner_stays(tmp_path: Path) -> None:
    path = tmp_path / "millions.toml"
    path.write_text(FILE)
    os.chown(path, 65_534, 65_534)
    editing.set_value(path, "web", "servers", 3)
    assert (path.stat().st_uid, path.stat().st_gid) == (65_534, 65_534)


def test_a_file_that_is_not_toml_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "millions.toml"
    path.write_text("[web\n")
    with pytest.raises(StackFileError, match="cannot change"):
        editing.set_value(path, "web", "servers", 3)
    assert path.read_text() == "[web\n"


def test_a_file_that_is_not_there_is_an_error_in_three_lines(tmp_path: Path) -> None:
    with pytest.raises(StackFileError) as said:
        editing.set_value(tmp_path / "millions.toml", "web", "servers", 3)
    assert "No such file" in said.value.because
