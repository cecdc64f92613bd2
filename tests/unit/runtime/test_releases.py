"""A release must be the application's folder, whole, and never change."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from millions.errors import MachineError, StackFileError
from millions.runtime import releases
from millions.runtime import state as states

if TYPE_CHECKING:
    from collections.abc import Iterator

    from millions.runtime.state import StateFolder


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch) -> Iterator[StateFolder]:
    root = Path(tempfile.mkdtemp(prefix="millions-test-"))
    root.chmod(0o755)
    monkeypatch.setenv("MILLIONS_HOME", str(root))
    yield states.create("app", root / "millions.toml")
    shutil.rmtree(root)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "application"
    for name, content in {
        "web.py": "app = 1\n",
        "pages/index.html": "hello",
        ".git/config": "secret",
        ".venv/bin/python": "x",
        "pages/__pycache__/a.pyc": "x",
        "node_modules/a/b.js": "x",
        "notes/private.txt": "x",
    }.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o700)
    (folder / "latest").symlink_to("pages")
    folder.chmod(0o700)
    return folder


def content(folder: Path) -> set[str]:
    return {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_symlink() or not path.is_dir()
    }


def test_it_holds_what_belongs_to_the_application(state: StateFolder, source: Path) -> None:
    made = releases.snapshot(state, source, exclude=("notes",))
    assert content(made.path) == {"web.py", "pages/index.html", "run.sh", "latest"}
    assert (made.path / "latest").readlink() == Path("pages")
    assert made.name.startswith("r1-")


def test_the_user_of_the_units_can_read_and_nobody_can_write_it(
    state: StateFolder, source: Path
) -> None:
    made = releases.snapshot(state, source)
    modes = {path.name: path.stat().st_mode & 0o777 for path in made.path.iterdir()}
    assert (modes["web.py"], modes["run.sh"], modes["pages"]) == (0o644, 0o755, 0o755)
    assert made.path.stat().st_mode & 0o777 == 0o755


def test_an_unchanged_folder_gives_the_same_release(state: StateFolder, source: Path) -> None:
    first = releases.snapshot(state, source)
    (source / ".git" / "config").write_text("changed")
    assert releases.snapshot(state, source) == first


@pytest.mark.parametrize("change", ["content", "name", "mode", "link"])
def test_every_change_gives_another_one(state: StateFolder, source: Path, change: str) -> None:
    first = releases.snapshot(state, source)
    if change == "content":
        (source / "web.py").write_text("app = 2\n")
    elif change == "name":
        (source / "web.py").rename(source / "web2.py")
    elif change == "mode":
        (source / "run.sh").chmod(0o600)
    else:
        (source / "latest").unlink()
        (source / "latest").symlink_to("web.py")
    second = releases.snapshot(state, source)
    assert (first.number, second.number) == (1, 2)
    assert [each.name for each in releases.listed(state)] == [second.name, first.name]


def test_going_back_to_former_content_gives_a_new_number(state: StateFolder, source: Path) -> None:
    first = releases.snapshot(state, source)
    (source / "web.py").write_text("app = 2\n")
    releases.snapshot(state, source)
    (source / "web.py").write_text("app = 1\n")
    third = releases.snapshot(state, source)
    assert third.name == first.name.replace("r1-", "r3-")


@pytest.mark.parametrize("target", ["/etc/passwd", "../elsewhere", "pages/../../elsewhere"])
def test_a_link_that_leaves_the_folder_is_refused(
    state: StateFolder, source: Path, target: str
) -> None:
    (source / "link").symlink_to(target)
    with pytest.raises(StackFileError, match="link is a link to"):
        releases.snapshot(state, source)
    assert releases.listed(state) == ()


def test_what_is_no_file_is_refused(state: StateFolder, source: Path) -> None:
    os.mkfifo(source / "pipe")
    with pytest.raises(StackFileError, match="neither a file nor a folder"):
        releases.snapshot(state, source)
    with pytest.raises(StackFileError, match="no such folder"):
        releases.snapshot(state, source / "nowhere")


def test_a_folder_that_is_too_large_is_refused_before_anything_is_copied(
    state: StateFolder, source: Path
) -> None:
    with (source / "data.bin").open("wb") as file:
        file.truncate(3 * 1024 * 1024)
    with pytest.raises(StackFileError, match="more than 2 MiB"):
        releases.snapshot(state, source, size_mib_max=2)
    assert list(state.releases.iterdir()) == []


def test_old_ones_are_pruned_but_never_one_that_runs(state: StateFolder, source: Path) -> None:
    made = []
    for at in range(8):
        (source / "web.py").write_text(f"app = {at}\n")
        made.append(releases.snapshot(state, source).name)
    (state.releases / ".r9-broken.1").mkdir()
    assert releases.prune(state, running=[made[0]]) == (made[2], made[1])
    assert {each.name for each in releases.listed(state)} == {made[0], *made[3:]}
    assert not (state.releases / ".r9-broken.1").exists()


def test_what_cannot_be_copied_is_an_error_and_leaves_nothing(
    state: StateFolder, source: Path
) -> None:
    shutil.rmtree(state.releases)
    state.releases.write_text("in the way")
    with pytest.raises((MachineError, OSError)):
        releases.snapshot(state, source)


def test_a_release_that_a_power_cut_has_left_empty_is_made_anew(
    state: StateFolder, source: Path
) -> None:
    made = releases.snapshot(state, source)
    (made.path / "web.py").write_text("")
    again = releases.snapshot(state, source)
    assert again.name == made.name
    assert (again.path / "web.py").read_text() == "app = 1\n"
    releases.prune(state)
    assert [path.name for path in state.releases.iterdir()] == [made.name]
