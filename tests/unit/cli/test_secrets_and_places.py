"""Secrets come from where the stack file refers to, and a changed one is seen as a change."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest

from millions import stack as stacks
from millions.cli.opened import Opened
from millions.cli.secrets import secret_files
from millions.errors import StackFileError
from millions.runtime.state import Identity, StateFolder

if TYPE_CHECKING:
    from pathlib import Path

APP = '[app]\nname = "photos"\nweb = "photos.web:app"\n[app.secrets]\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "state" / "secrets").mkdir(parents=True)
    return tmp_path


def opened(folder: Path, secrets: str) -> Opened:
    file = folder / "millions.toml"
    identity = Identity(name="photos", stack_file=str(file), network=7)
    return Opened(
        file=file,
        stack=stacks.parse(APP + secrets),
        state=StateFolder(path=folder / "state", identity=identity, account=None),
    )


def test_a_secret_is_kept_in_a_file_that_only_its_owner_reads(folder: Path) -> None:
    (folder / "stripe.key").write_text("s3cret\n")
    found = secret_files(opened(folder, 'STRIPE = { file = "stripe.key" }'))
    assert found == (("STRIPE", "app.STRIPE.1"),)
    kept = folder / "state" / "secrets" / "app.STRIPE.1"
    assert kept.read_text() == "s3cret"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


def test_an_unchanged_secret_keeps_its_file_and_a_changed_one_gets_another(folder: Path) -> None:
    stack = opened(folder, 'STRIPE = { file = "stripe.key" }')
    for value, version in (("one", 1), ("one", 1), ("two", 2), ("one", 3)):
        (folder / "stripe.key").write_text(value)
        assert secret_files(stack) == (("STRIPE", f"app.STRIPE.{version}"),)


def test_old_versions_of_a_secret_do_not_pile_up(folder: Path) -> None:
    stack = opened(folder, 'STRIPE = { file = "stripe.key" }')
    for number in range(10):
        (folder / "stripe.key").write_text(f"value {number}")
        secret_files(stack)
    assert len(list((folder / "state" / "secrets").iterdir())) <= 4


def test_a_secret_comes_from_a_variable(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_STRIPE", "s3cret")
    assert secret_files(opened(folder, 'STRIPE = { env = "MY_STRIPE" }'))
    assert (folder / "state" / "secrets" / "app.STRIPE.1").read_text() == "s3cret"


@pytest.mark.parametrize(
    ("secrets", "content", "because"),
    [
        pytest.param('STRIPE = { env = "NOT_SET" }', None, "NOT_SET is not set", id="no variable"),
        pytest.param('STRIPE = { file = "no.key" }', None, "No such file", id="no file"),
        pytest.param('STRIPE = { file = "a.key" }', "", "is empty", id="an empty file"),
        pytest.param('STRIPE = { file = "a.key" }', "x" * 70_000, "over 65536", id="a large file"),
    ],
)
def test_a_secret_that_is_missing_is_said_and_nothing_is_written(
    folder: Path, secrets: str, content: str | None, because: str
) -> None:
    if content is not None:
        (folder / "a.key").write_text(content)
    with pytest.raises(StackFileError, match=because):
        secret_files(opened(folder, secrets))
    assert list((folder / "state" / "secrets").iterdir()) == []
