"""The command must judge, leave nothing behind whatever interrupts it, and refuse in words."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from drilling import left_behind

from millions.drill.stage import PREFIX
from millions.testing import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

MILLIONS = str(Path(sys.executable).parent / "millions")
DONE_WITHIN_S = 110
LOST = (
    '{"kind": "write", "key": "x", "value": 1, "at": 0, "done": 1, "outcome": "ok"}\n'
    '{"kind": "write", "key": "x", "value": 2, "at": 2, "done": 3, "outcome": "ok"}\n'
    '{"kind": "read", "key": "x", "value": 1, "at": 4, "done": 5, "outcome": "ok"}\n'
)


def millions(*arguments: str, at: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [MILLIONS, *arguments],
        cwd=at,
        env={**os.environ, "MILLIONS_HOME": str(at / "home"), "TMPDIR": str(at), **variables},
        capture_output=True,
        text=True,
        timeout=DONE_WITHIN_S,
        check=False,
    )


@contextmanager
def running(*arguments: str, at: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [MILLIONS, *arguments],
        cwd=at,
        env={**os.environ, "MILLIONS_HOME": str(at / "home"), "TMPDIR": str(at)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short folder that the units' user may enter."""
    folder = tmp_path_factory.mktemp("d")
    for each in (folder, *folder.parents):
        if str(each).startswith("/tmp/") and each.stat().st_uid == os.geteuid():
            each.chmod(0o755)
    return folder


def until(process: subprocess.Popen[str], words: str) -> None:
    """Read what the command says until it says these words (bounded)."""
    assert process.stderr is not None
    deadline = time.monotonic() + DONE_WITHIN_S
    for line in process.stderr:
        if words in line:
            return
        assert time.monotonic() < deadline
    raise AssertionError(f"it ended before it said {words!r}")


def nothing_left(place: Path) -> bool:
    return not list(place.glob(f"{PREFIX}*")) and not left_behind(place)


def test_a_drill_judges_reports_and_leaves_nothing(place: Path) -> None:
    ran = millions(
        *("drill", "run", "--fault", "kill web at 2s", "--duration", "5s", "--clients", "6"),
        *("--json", "--out", "report"),
        at=place,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    verdict = json.loads(ran.stdout)
    assert verdict["promises"]["G1"]["held"] is True
    assert verdict["problems"] == []
    assert verdict["operations"] > 100
    assert {each.name for each in (place / "report").iterdir()} == {
        *("history.jsonl", "report.json", "report.html", "logs.txt")
    }
    assert nothing_left(place)
    again = millions("drill", "report", "report", "--json", at=place)
    assert json.loads(again.stdout)["operations"] == verdict["operations"]


def test_a_drill_whose_users_use_caches_and_tasks_is_judged_by_them(place: Path) -> None:
    ran = millions(
        *("drill", "run", "nothing", "--target", "nouns", "--duration", "4s", "--clients", "4"),
        *("--json", "--out", "report"),
        at=place,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    promises = json.loads(ran.stdout)["promises"]
    assert {name: promises[name]["held"] for name in ("G5", "G6")} == {"G5": True, "G6": True}


async def test_an_interrupted_drill_mends_and_leaves_nothing(place: Path) -> None:
    with running("drill", "run", "--fault", "freeze web at 1s for 100s", at=place) as process:
        until(process, "processes")
        process.send_signal(signal.SIGINT)
        await eventually(lambda: process.poll() is not None, within_s=60)
        assert process.returncode == 130
    assert nothing_left(place)


async def test_what_a_killed_drill_left_is_healed(place: Path) -> None:
    with running("drill", "run", "--fault", "freeze web at 1s for 100s", at=place) as process:
        until(process, "processes")
        process.kill()
        process.wait()
    assert not nothing_left(place)
    healed = millions("drill", "heal", at=place)
    assert healed.returncode == 0, healed.stderr
    assert "cleared away" in healed.stdout
    assert nothing_left(place)
    assert "nothing was left behind" in millions("drill", "heal", at=place).stdout


def test_check_says_by_its_exit_status_what_it_found(tmp_path: Path) -> None:
    history = tmp_path / "history.jsonl"
    history.write_text(LOST)
    broken = millions("check", "history.jsonl", at=tmp_path)
    assert (broken.returncode, "lost acknowledged writes" in broken.stdout) == (1, True)
    history.write_text(LOST.rpartition('{"kind": "read"')[0])
    assert millions("check", "history.jsonl", at=tmp_path).returncode == 0
    history.write_text("nonsense\n" + LOST)
    unreadable = millions("check", "history.jsonl", at=tmp_path)
    assert (unreadable.returncode, "line 1" in unreadable.stderr) == (2, True)
    assert millions("check", "none.jsonl", at=tmp_path).returncode == 2


@pytest.mark.parametrize(
    ("arguments", "because"),
    [
        (("run",), "either the name of a drill"),
        (("run", "kill-web", "--fault", "kill web"), "either the name of a drill"),
        (("run", "kill-wep"), "kill-web"),
        (("run", "kill-replica", "--rung", "1"), "from rung 4 on"),
        (("run", "--fault", "melt web"), "there is no fault"),
        (("run", "--fault", "clock-jump web"), "clock of one process"),
        (("run", "kill-web", "--here"), "millions.toml"),
        (("run", "kill-web", "--duration", "long"), "is not a time"),
        (("report",), "there is none in"),
    ],
)
def test_what_cannot_be_drilled_is_refused_and_changes_nothing(
    tmp_path: Path, arguments: tuple[str, ...], because: str
) -> None:
    ran = millions("drill", *arguments, at=tmp_path)
    assert ran.returncode in (2, 7), ran.stdout + ran.stderr
    assert because in ran.stderr
    assert not list(tmp_path.glob(f"{PREFIX}*"))
