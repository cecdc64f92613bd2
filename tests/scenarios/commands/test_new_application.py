"""What `millions new` makes must run, be tested, and be well written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from millions import stack
from millions.testing import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from commandline import Application

TESTED_WITHIN_S = 100


def tool(name: str, *arguments: str, folder: Path) -> str:
    ran = subprocess.run(
        [str(Path(sys.executable).parent / name), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=TESTED_WITHIN_S,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_the_tests_of_a_new_application_pass(new: Callable[[str], Application]) -> None:
    folder = new("to-test").folder
    assert "2 passed" in tool("pytest", "-q", "-p", "no:cacheprovider", folder=folder)


def test_a_new_application_is_formatted_and_clean(new: Callable[[str], Application]) -> None:
    folder = new("to-read").folder
    tool("ruff", "format", "--isolated", "--check", "--line-length=100", ".", folder=folder)
    tool(
        "ruff",
        "check",
        "--isolated",
        "--select=E,F,I,B,UP",
        "--line-length=100",
        ".",
        folder=folder,
    )


def test_the_stack_file_of_a_new_application_names_every_setting(
    new: Callable[[str], Application],
) -> None:
    text = (new("to-set").folder / "millions.toml").read_text()
    assert stack.parse(text).name == "to-set"
    assert "# max_body_mib = 64" in text


def test_a_folder_that_is_not_empty_is_left_alone(new: Callable[[str], Application]) -> None:
    application = new("taken")
    before = sorted(path.name for path in application.folder.iterdir())
    ran = application.millions("new", "../taken", status=2)
    assert "small letters" in ran.err
    ran = subprocess.run(
        [sys.executable, "-m", "millions.cli.main", "new", "taken"],
        cwd=application.folder.parent,
        capture_output=True,
        text=True,
        timeout=TESTED_WITHIN_S,
        check=False,
    )
    assert (ran.returncode, "is not an empty folder" in ran.stderr) == (2, True)
    assert sorted(path.name for path in application.folder.iterdir()) == before


async def test_a_note_is_written_and_its_words_are_counted(notes: Application) -> None:
    assert "<h1>notes</h1>" in notes.page()
    assert "<li>Hello &lt;there&gt;" in notes.page("/notes", form=b"text=Hello+%3Cthere%3E")
    await eventually(lambda: "2 words" in notes.page(), within_s=20)
