"""The script by which a restore fetches WAL, run as PostgreSQL runs it."""

import shlex
import subprocess

import pytest

from millions.backup.restoring import FETCH

SEGMENT = "000000010000000000000003"
BYTES = 4_096


@pytest.fixture
def fetch(tmp_path):
    """Fetches the segment into a file; what it got, or None."""
    wal = tmp_path / "the wal"
    script = tmp_path / "fetch.sh"
    script.write_text(
        FETCH.replace("{wal}", shlex.quote(str(wal))).replace("{segment_bytes}", str(BYTES))
    )
    target = tmp_path / "fetched"

    def run(**rows):
        for row, (name, content) in rows.items():
            folder = wal / row.removeprefix("row_")
            folder.mkdir(parents=True)
            (folder / name).write_bytes(content)
        done = subprocess.run(
            ["/bin/sh", str(script), SEGMENT, str(target)], check=False, capture_output=True
        )
        assert done.stderr == b""
        return target.read_bytes() if done.returncode == 0 else None

    return run


def test_a_whole_segment_comes_before_a_part(fetch):
    part, whole = b"p" * BYTES, b"w" * BYTES
    assert fetch(row_1=(f"{SEGMENT}.partial", part), row_2=(SEGMENT, whole)) == whole


def test_a_part_is_taken_where_there_is_no_more(fetch):
    part = b"p" * BYTES
    assert fetch(row_1=(f"{SEGMENT}.partial", part)) == part


def test_a_part_that_was_not_filled_holds_nothing(fetch):
    part = b"p" * BYTES
    assert fetch(row_1=(f"{SEGMENT}.partial", b"\0" * 1_024)) is None
    assert fetch(row_2=(f"{SEGMENT}.partial", part)) == part


def test_what_is_not_there_is_not_found(fetch):
    assert fetch() is None
