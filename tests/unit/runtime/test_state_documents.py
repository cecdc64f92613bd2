"""The files of the state folder: what is written is read back, what is damaged is refused whole."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millions.directory import DatabasePlace, Directory, Endpoint, FilesPlace, Shard
from millions.errors import MillionsError, StateError
from millions.model import (
    Address,
    Certificate,
    File,
    Limits,
    Phase,
    Preparation,
    Probe,
    StopStep,
    Trouble,
    Unit,
)
from millions.runtime import codec, desired, files, record, status
from millions.runtime.desired import Desired
from millions.runtime.processes import Identity
from millions.runtime.record import PreparationRecord, ProcessRecord, UnitRecord
from millions.runtime.status import Status, UnitStatus

if TYPE_CHECKING:
    from pathlib import Path

ADDRESS = Address(host="127.1.2.3", port=5432)
UNIT = Unit(
    name="web",
    tier="web",
    command=("run", "{folder}"),
    environment=(("A", "b"),),
    secret_environment=(("TOKEN", "token"),),
    files=(File(path="a/b", content="c", mode=0o644),),
    address=ADDRESS,
    public=(ADDRESS,),
    probe=Probe(address=ADDRESS, send=b"\x00\xff", expect=b"R", within_s=1.5),
    prepare=(Preparation(name="p", command=("x",), key="k", timeout_s=2),),
    stop=(StopStep(signal="SIGINT", wait_s=1.0),),
    needs=("db",),
    holds_data=True,
    handover=True,
    release="r1",
    limits=Limits(memory_mib=5),
)
DIRECTORY = Directory(
    epoch=3,
    stack="s",
    release="r1",
    secret_file="/s",
    database=DatabasePlace(
        shards=(Shard(name="s0", primary=Endpoint(host="h", port=1)),),
        name="app",
        user="app",
        password_file="/p",
    ),
    files=FilesPlace(folder="/f"),
)
DESIRED = Desired(
    generation=7,
    units=(UNIT,),
    directory=DIRECTORY,
    consent=("db",),
    secrets=("token",),
    certificates=(Certificate(name="etcd", hosts=("127.1.9.1", "localhost")),),
)
STATUS = Status(
    generation=7,
    at_s=1.5,
    supervisor_pid=9,
    units=(UnitStatus(name="web", pid=3, next_start_at_s=2.5), UnitStatus(name="db")),
    failed=("web",),
)
IDENTITY = Identity(pid=3, started=4, boot="b")
RECORD = UnitRecord(
    name="web",
    processes=(
        ProcessRecord(number=1, spec=UNIT, since_s=1.0, changed_s=2.0, phase=Phase.READY),
        ProcessRecord(number=2, spec=UNIT, since_s=1.0, changed_s=2.0, identity=IDENTITY),
    ),
    preparing=PreparationRecord(number=3, spec=UNIT, key="k", since_s=0.5),
    good=UNIT,
    troubles=(Trouble(revision="x", failures=2, at_s=3.0, words="no\nreason"),),
)


def test_every_document_is_read_back_as_it_was_written() -> None:
    assert desired.parse(DESIRED.text()) == DESIRED
    assert status.parse(STATUS.text()) == STATUS
    assert record.parse(RECORD.text(), source="unit.json") == RECORD


@given(st.integers(0, len(DESIRED.text()) - 2))
@settings(deadline=None, max_examples=150)
def test_a_half_written_document_is_refused(length: int) -> None:
    with pytest.raises(StateError) as refused:
        desired.parse(DESIRED.text()[:length])
    assert refused.value.because
    assert refused.value.try_


@pytest.mark.parametrize(
    ("text", "because"),
    [
        ("", "Expecting value"),
        ("[]", "expected an object"),
        ('{"generation": 1}', "its format is None"),
        ('{"format": 2, "generation": 1}', "its format is 2, this program reads 1"),
        ('{"format": 1}', "generation is missing"),
        ('{"format": 1, "generation": "x"}', "expected int, found 'x'"),
        ('{"format": 1, "generation": true}', "expected int, found True"),
        ('{"format": 1, "generation": 1, "units": {}}', "expected a list"),
        ('{"format": 1, "generation": 1, "units": [{"name": "a"}]}', "tier is missing"),
        ('{"format": 1, "generation": 1, "directory": {"epoch": 1}}', "directory"),
    ],
)
def test_a_document_that_is_wrong_says_where(text: str, because: str) -> None:
    with pytest.raises(StateError) as refused:
        desired.parse(text)
    assert because in refused.value.because


@pytest.mark.parametrize(
    ("written", "public"),
    [(None, ()), ({"host": "127.1.2.3", "port": 5432}, (ADDRESS,))],
    ids=["none", "one"],
)
def test_a_unit_written_with_one_public_address_at_most_is_still_read(
    written: object, public: tuple[Address, ...]
) -> None:
    document = {**codec.document(UNIT), "public": written}
    found = codec.build(Unit, document)
    assert found.public == public
    assert found.revision == dataclasses.replace(UNIT, public=public).revision


def test_a_missing_document_is_none_and_an_unreadable_one_an_error(tmp_path: Path) -> None:
    assert desired.read(tmp_path / "none") is None
    assert status.read(tmp_path / "none") is None
    with pytest.raises(StateError):
        desired.read(tmp_path)
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    with pytest.raises(StateError):
        desired.read(tmp_path / "bytes")


def test_the_revision_is_not_written_but_computed() -> None:
    assert "revision" not in codec.document(UNIT)
    assert codec.build(Unit, codec.document(UNIT)).revision == UNIT.revision


def test_a_write_replaces_the_file_whole_with_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "file"
    files.write(path, "one")
    files.write(path, "two", mode=0o640)
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("two", 0o640)
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    path.mkdir()
    (path / "inside").touch()
    with pytest.raises(OSError, match="directory"):
        files.write(path, "two")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["../out", "/out", "a/../../out", ""])
def test_a_rendered_file_cannot_leave_its_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="not a path inside"):
        files.write_below(tmp_path, name, "x", mode=0o600, owner=None)


def test_a_rendered_file_follows_no_planted_link(tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    (inside / "conf").symlink_to(outside)
    with pytest.raises(OSError, match=r"conf|directory"):
        files.write_below(inside, "conf/x", "x", mode=0o600, owner=None)
    (outside / "target").write_text("old")
    (inside / "file").symlink_to(outside / "target")
    files.write_below(inside, "file", "new", mode=0o600, owner=None)
    assert (outside / "target").read_text() == "old"
    assert not (inside / "file").is_symlink()


def test_a_folder_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(OSError, match=r"link|directory"):
        files.make_folder(tmp_path / "link", mode=0o700)


def test_every_error_of_the_state_says_three_things() -> None:
    with pytest.raises(MillionsError) as refused:
        status.parse("{")
    lines = str(refused.value).splitlines()
    assert lines[0].startswith("cannot read status.json")
    assert [line.split(":")[0].strip() for line in lines[1:]] == ["because", "try"]
