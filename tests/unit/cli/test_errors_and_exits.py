"""Every error is said in three lines, without a traceback, with a status that scripts can test."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from millions import errors, rungs
from millions.cli import exits, main

if TYPE_CHECKING:
    from pathlib import Path

APP = '[app]\nname = "photos"\nweb = "photos.web:app"\n'


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MILLIONS_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MILLIONS_STACK_FILE", raising=False)
    monkeypatch.delenv(main.TRACEBACK_VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def said(capsys: pytest.CaptureFixture[str]) -> list[str]:
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    return captured.err.splitlines()


def test_an_unknown_command_is_answered_with_the_nearest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main.run(["statsu"]) == exits.WRONG.status
    assert said(capsys) == [
        "cannot understand the command line",
        "  because: there is no command 'statsu': did you mean status?",
        "  try: millions --help",
    ]


def test_an_unknown_option_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["version", "--jason"]) == exits.WRONG.status
    assert said(capsys)[-1] == "  try: millions version --help"


@pytest.mark.parametrize("verb", ["up", "down", "status", "plan", "deploy", "logs", "sql"])
def test_without_a_stack_file_every_verb_says_where_it_looked(
    verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run([verb]) == exits.WRONG.status
    lines = said(capsys)
    assert lines[0] == "cannot find a stack"
    assert "millions.toml" in lines[1]


@pytest.mark.parametrize("verb", ["down", "status", "logs", "sql"])
def test_a_stack_that_never_ran_has_a_status_of_its_own(
    verb: str, own_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (own_home / "millions.toml").write_text(APP)
    assert main.run([verb]) == exits.NOT_RUNNING.status
    assert said(capsys)[-1] == "  try: millions up"
    assert not (own_home / "home").exists()


def test_a_wrong_stack_file_is_refused_before_anything_is_made(
    own_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (own_home / "millions.toml").write_text(APP + "[database]\nmemry_mib = 1\n")
    assert main.run(["up", "--detach"]) == exits.WRONG.status
    assert said(capsys)[1:] == [
        "  because: line 5: [database] has no setting 'memry_mib'",
        "  try: did you mean memory_mib?",
    ]
    assert not (own_home / "home").exists()


def test_the_stack_file_is_found_in_a_folder_above(
    own_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (own_home / "millions.toml").write_text("rung = 11\n" + APP)
    inside = own_home / "photos" / "static"
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside)
    assert main.run(["plan"]) == exits.WRONG.status
    assert said(capsys)[1] == f"  because: not yet: this version has {rungs.built()}"


@pytest.mark.parametrize("given", ["stack", "stack/millions.toml"])
def test_the_stack_file_is_named_by_file_or_folder(
    given: str, own_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (own_home / "stack").mkdir()
    (own_home / "stack" / "millions.toml").write_text("rung = 99\n")
    assert main.run(["-C", given, "plan"]) == exits.WRONG.status
    assert said(capsys)[1] == "  because: the rungs are 1 to 11"


def test_the_stack_file_is_named_by_a_variable(
    own_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (own_home / "other.toml").write_text("rung = 99\n")
    monkeypatch.setenv("MILLIONS_STACK_FILE", "other.toml")
    assert main.run(["plan"]) == exits.WRONG.status
    assert said(capsys)[1] == "  because: the rungs are 1 to 11"


def test_an_error_is_an_object_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["status", "--json"]) == exits.WRONG.status
    error = json.loads(capsys.readouterr().err)["error"]
    assert error["code"] == "M100"
    assert set(error) == {"code", "cannot", "because", "try"}


def test_a_folder_called_like_a_stack_file_is_none(
    own_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (own_home / "millions.toml").mkdir()
    assert main.run(["plan"]) == exits.WRONG.status
    assert len(said(capsys)) == 3


def test_every_error_class_has_an_exit_status_that_is_documented() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    known = {each.status for each in exits.ALL}
    for kind in kinds:
        status = exits.status_of(kind(cannot="a", because="b", try_="c"))
        assert status in known - {exits.DONE.status, exits.INTERRUPTED.status}


def test_the_version_answers_without_importing_the_rest() -> None:
    program = (
        "import sys; from millions.cli import main; main.run(['version', '--json']); "
        "sys.exit(bool({'pydantic', 'asyncio', 'sqlalchemy', 'rich'} & sys.modules.keys()))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, timeout=30, check=True
    )
    assert set(json.loads(ran.stdout)) == {"millions", "python"}


@pytest.mark.parametrize("shell", ["bash", "fish", "zsh"])
def test_completion_is_printed_for_each_shell(
    shell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["completion", shell]) == 0
    assert "_MILLIONS_COMPLETE" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("error", "because", "status"),
    [
        pytest.param(
            OSError(errno.ENOSPC, "No space left on device", "/var/x"),
            "No space left on device (/var/x)",
            exits.MACHINE,
            id="a full disk",
        ),
        pytest.param(
            PermissionError(errno.EACCES, "Permission denied", "/var/x"),
            "Permission denied (/var/x)",
            exits.MACHINE,
            id="a folder of somebody else",
        ),
        pytest.param(
            KeyError("x"), "a defect in millions: KeyError: 'x'", exits.FAILED, id="a defect"
        ),
    ],
)
def test_what_nobody_foresaw_is_said_in_three_lines_too(
    error: Exception, because: str, status: exits.Exit
) -> None:
    ours = main._as_ours(error)
    assert (ours.because, exits.status_of(ours)) == (because, status.status)
    assert ours.try_


def test_no_error_is_made_that_says_nothing_to_try() -> None:
    with pytest.raises(TypeError, match="try_"):
        errors.SdkError(cannot="do it", because="of this")  # type: ignore[call-arg]
