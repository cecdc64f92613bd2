"""A stack that is stopped must leave only its data behind, and erase that only if asked to."""

from __future__ import annotations

import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from millions.testing import eventually

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from commandline import Application

STOPPED_WITHIN_S = 60


@pytest.fixture(scope="module")
def board(new: Callable[[str], Application]) -> Application:
    return new("board")


async def test_ctrl_c_stops_what_runs_in_the_foreground(board: Application, tmp_path: Path) -> None:
    shown = tmp_path / "out"
    with shown.open("w") as out:
        running = board.begin("up", out=out)
    said = f"board is up: http://127.0.0.1:{board.port}/"
    try:
        await eventually(lambda: said in shown.read_text(), within_s=STOPPED_WITHIN_S)
        assert "<h1>board</h1>" in board.page()
        await eventually(lambda: "path=/ " in shown.read_text(), within_s=STOPPED_WITHIN_S)
        running.send_signal(signal.SIGINT)
        assert running.wait(STOPPED_WITHIN_S) == 0
    finally:
        running.kill()
        running.wait()
    assert board.pids() == []
    assert board.millions("status", status=7).out.startswith("board does not run")


async def test_ctrl_c_while_it_starts_leaves_nothing_running(board: Application) -> None:
    running = board.begin("up", out=subprocess.DEVNULL)
    try:
        await eventually(board.pids, within_s=STOPPED_WITHIN_S)
        running.send_signal(signal.SIGINT)
        assert running.wait(STOPPED_WITHIN_S) in (0, 130)
    finally:
        running.kill()
        running.wait()
    assert board.pids() == []


async def test_a_second_up_is_refused_and_does_not_disturb_the_first(board: Application) -> None:
    first = board.begin("up", "--detach", out=subprocess.DEVNULL)
    try:
        await eventually(board.pids, within_s=STOPPED_WITHIN_S)
        first.send_signal(signal.SIGSTOP)  # else it may be done before the second one asks
        second = board.millions("up", "--detach", status=5)
        first.send_signal(signal.SIGCONT)
        assert f"(pid {first.pid})" in second.err
        assert first.wait(STOPPED_WITHIN_S) == 0
    finally:
        first.kill()
        first.wait()
    assert board.millions("status", "--json").json["well"] is True
    board.millions("down")


def test_data_outlives_down_and_up(board: Application) -> None:
    board.millions("up", "--detach")
    board.millions(
        "sql", "insert into notes (board, id, text) values ('home', gen_random_uuid(), 'kept')"
    )
    assert board.millions("down", "--json").json["stopped"]
    assert board.pids() == []
    board.millions("up", "--detach")
    assert "kept" in board.page()


def test_down_works_with_a_stack_file_that_is_wrong_by_now(board: Application) -> None:
    board.millions("up", "--detach")
    board.edit("millions.toml", "[web]", "[wbe]")
    assert "board is down" in board.millions("down").out
    board.edit("millions.toml", "[wbe]", "[web]")
    assert board.pids() == []
    assert board.millions("down").out == "board did not run\n"


def test_what_cannot_start_for_the_first_time_leaves_nothing_running(board: Application) -> None:
    board.edit("millions.toml", "board.web:app", "board.web:application")
    ran = board.millions("up", "--detach", status=4)
    board.edit("millions.toml", "board.web:application", "board.web:app")
    assert "board.web:app" in ran.err
    assert board.pids() == []


def test_a_data_folder_of_another_version_is_refused(board: Application) -> None:
    version = board.state / "units" / "database.1" / "data" / "postgresql" / "PG_VERSION"
    found = version.read_text()
    version.write_text("16\n")
    ran = board.millions("up", "--detach", status=6)
    version.write_text(found)
    assert "it was made by PostgreSQL 16" in ran.err
    assert board.pids() == []


def test_a_database_that_does_not_start_says_why_and_leaves_nothing_running(
    board: Application,
) -> None:
    control = board.state / "units" / "database.1" / "data" / "postgresql" / "global" / "pg_control"
    away = control.with_name("away")
    control.rename(away)
    ran = board.millions("up", "--detach", status=4)
    away.rename(control)
    assert "cannot start database.1" in ran.err
    assert "could not find the database system" in ran.err
    assert board.pids() == []
    board.millions("up", "--detach")
    board.millions("down")


def test_a_disk_without_room_is_said_before_anything_starts(board: Application, root: Path) -> None:
    small = root / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m,mode=755", "none", str(small)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip(reason="only root may mount a small disk")
    try:
        ran = board.millions("up", "--detach", status=3, MILLIONS_HOME=str(small))
        assert "MiB are free there, at least" in ran.err
    finally:
        subprocess.run(["umount", str(small)], check=True)
    assert board.pids() == []


def test_data_is_erased_only_by_its_name(board: Application) -> None:
    board.millions("up", "--detach")
    ran = board.millions("down", "--erase-data", status=None)
    assert ran.status in (6, 130)
    assert board.millions("status", "--json").json["well"] is True
    board.millions("down", "--erase-data", "--yes")
    assert list(board.home.glob("board-*")) == []
    assert board.pids() == []
