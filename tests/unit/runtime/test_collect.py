"""Copying a unit's output must lose no line and write none twice, wherever it is broken off."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from millions.runtime import collect
from millions.runtime.collect import CURRENT, SEGMENTS, Collector

if TYPE_CHECKING:
    from pathlib import Path

KIB, MIB = 1024, 1024 * 1024


def collector(folder: Path, *, limit_bytes: int = 64 * MIB) -> Collector:
    return Collector(folder, "web", limit_bytes=limit_bytes)


def raw(log: Collector, number: int = 1) -> int:
    """A descriptor to write to, as the unit's process has it."""
    return log.open_raw(number, "starts", revision="r", release="")


def records(folder: Path) -> list[dict[str, Any]]:
    segments = [*sorted(folder.glob("segment-*")), folder / CURRENT]
    found = [json.loads(line) for each in segments for line in each.read_bytes().splitlines()]
    return [each for each in found if "offsets" not in each]


def events(folder: Path) -> list[str]:
    return [each["event"] for each in records(folder) if each["event"] != "starts"]


def test_plain_lines_are_wrapped_with_a_level_that_their_words_suggest(tmp_path: Path) -> None:
    log = collector(tmp_path)
    os.write(raw(log), b"hello\nWARNING: careful\nERROR: no\nTraceback (most recent call last):\n")
    log.collect()
    assert [(each["event"], each["level"]) for each in records(tmp_path)[1:]] == [
        ("hello", "info"),
        ("WARNING: careful", "warning"),
        ("ERROR: no", "error"),
        ("Traceback (most recent call last):", "error"),
    ]
    assert all(each["unit"] == "web" and each["time"].endswith("Z") for each in records(tmp_path))


def test_json_lines_keep_their_fields_and_get_those_that_miss(tmp_path: Path) -> None:
    log = collector(tmp_path)
    line = {"event": "paid", "level": "warning", "amount": 3, "unit": "liar", "raw": "9:9"}
    os.write(raw(log), json.dumps(line).encode() + b'\n{"event": "bare"}\n[1, 2]\n{broken\n')
    log.collect()
    paid, bare, array, broken = records(tmp_path)[1:]
    assert (paid["event"], paid["level"], paid["amount"], paid["unit"]) == (
        *("paid", "warning", 3, "web"),
    )
    assert paid["raw"] == f"1:{len(json.dumps(line)) + 1}"
    assert (bare["event"], bare["level"]) == ("bare", "info")
    assert (array["event"], broken["event"]) == ("[1, 2]", "{broken")


def test_a_line_is_copied_once_it_is_whole(tmp_path: Path) -> None:
    log = collector(tmp_path)
    output = raw(log)
    os.write(output, b"first\nsec")
    log.collect()
    assert events(tmp_path) == ["first"]
    os.write(output, b"ond\n")
    log.collect()
    assert events(tmp_path) == ["first", "second"]


def test_the_last_words_of_a_process_are_copied_without_a_line_end(tmp_path: Path) -> None:
    log = collector(tmp_path)
    os.write(raw(log), b"first\nlast wo")
    log.finish(1)
    assert events(tmp_path) == ["first", "last wo"]
    assert list(tmp_path.glob("raw-*")) == []


def test_bytes_that_are_no_text_are_copied_too(tmp_path: Path) -> None:
    log = collector(tmp_path)
    os.write(raw(log), b"\xff\xfe\x00odd\r\n\n\nlone \r return\n")
    log.collect()
    assert events(tmp_path) == ["\ufffd\ufffd\x00odd", "lone \r return"]


def test_a_line_without_end_is_cut_in_pieces(tmp_path: Path) -> None:
    log = collector(tmp_path)
    os.write(raw(log), b"x" * (200 * KIB))
    while log.collect():
        pass
    log.finish(1)
    assert "".join(events(tmp_path)) == "x" * (200 * KIB)


@given(
    lines=st.lists(st.text(st.characters(codec="ascii", exclude_characters="\r\n"), min_size=1)),
    cuts=st.lists(st.integers(0, 400)),
    deaths=st.lists(st.integers(0, 5)),
)
@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_the_next_collector_goes_on_exactly_where_the_last_one_stopped(
    tmp_path_factory: pytest.TempPathFactory,
    lines: list[str],
    cuts: list[int],
    deaths: list[int],
) -> None:
    folder = tmp_path_factory.mktemp("log")
    whole = "".join(f"{line}\n" for line in lines).encode()
    log = collector(folder, limit_bytes=8 * KIB)
    output = raw(log)
    places = sorted({min(cut, len(whole)) for cut in cuts} | {len(whole)})
    for at, place in enumerate(places):
        start = places[at - 1] if at else 0
        os.write(output, whole[start:place])
        if at not in deaths:
            log.collect()
        else:
            log.close()  # as after SIGKILL: nothing is said, only the files are there
            log = collector(folder, limit_bytes=8 * KIB)
    log.finish(1)
    assert events(folder) == lines
    os.close(output)


@pytest.mark.parametrize("torn", [1, 5, 40], ids=["a byte", "some bytes", "half a record"])
def test_a_record_that_was_torn_by_a_death_is_written_again(tmp_path: Path, torn: int) -> None:
    log = collector(tmp_path)
    output = raw(log)
    os.write(output, b"first\nsecond\n")
    log.collect()
    log.close()
    current = tmp_path / CURRENT
    os.truncate(current, current.stat().st_size - torn)
    log = collector(tmp_path)
    os.write(output, b"third\n")
    log.collect()
    assert events(tmp_path) == ["first", "second", "third"]


def test_positions_outlive_the_rotation_of_the_log(tmp_path: Path) -> None:
    limit_bytes = 64 * KIB
    log = collector(tmp_path, limit_bytes=limit_bytes)
    quiet, chatty = raw(log, 1), raw(log, 2)
    os.write(quiet, b"quiet one\n")
    log.collect()
    for at in range(400):
        os.write(chatty, f"line {at} {'x' * 100}\n".encode())
        log.collect()
    log.close()
    log = collector(tmp_path, limit_bytes=limit_bytes)
    os.write(quiet, b"quiet two\n")
    log.collect()
    assert events(tmp_path)[-1] == "quiet two"
    assert "quiet one" not in events(tmp_path)[-300:]


def test_the_log_is_bounded(tmp_path: Path) -> None:
    limit_bytes = 256 * KIB
    log = collector(tmp_path, limit_bytes=limit_bytes)
    output = raw(log)
    for at in range(40):
        os.write(output, b"".join(b"%d %s\n" % (at, b"x" * 200) for _ in range(200)))
        while log.collect():
            pass
    size = sum(path.stat().st_size for path in tmp_path.glob("*.jsonl"))
    assert limit_bytes // SEGMENTS < size <= limit_bytes
    assert events(tmp_path)[-1].startswith("39 ")


def test_a_smaller_limit_holds_from_the_next_segment_on(tmp_path: Path) -> None:
    log = collector(tmp_path, limit_bytes=256 * KIB)
    output = raw(log)
    for limit_bytes in (256 * KIB, 64 * KIB):
        log.limit_bytes = limit_bytes
        for _ in range(100):
            os.write(output, b"x" * 4 * KIB + b"\n")
            log.collect()
    size = sum(path.stat().st_size for path in tmp_path.glob("*.jsonl"))
    assert size <= 64 * KIB


def test_copied_bytes_are_given_back_to_the_disk(tmp_path: Path) -> None:
    log = collector(tmp_path)
    output = raw(log)
    for _ in range(64):
        os.write(output, b"x" * 127 * KIB + b"\n")
        while log.collect():
            pass
    status = os.fstat(output)
    assert status.st_size == 64 * (127 * KIB + 1)
    assert status.st_blocks * 512 <= collect.PUNCH_BYTES + 128 * KIB


def test_a_unit_that_writes_faster_than_the_log_may_hold_is_told_what_was_dropped(
    tmp_path: Path,
) -> None:
    limit_bytes = 256 * KIB
    log = collector(tmp_path, limit_bytes=limit_bytes)
    os.write(raw(log), b"".join(b"%07d\n" % at for at in range(100_000)))
    while log.collect():
        pass
    said = [each for each in events(tmp_path) if "dropped" in each]
    assert len(said) == 1
    assert events(tmp_path)[-1] == "0099999"


def test_a_number_that_comes_again_begins_anew(tmp_path: Path) -> None:
    log = collector(tmp_path)
    os.write(raw(log), b"before, a longer line\n")
    log.collect()
    log.close()
    log = collector(tmp_path)
    output = raw(log)
    log.close()
    os.write(output, b"after\n")
    log = collector(tmp_path)
    log.collect()
    assert events(tmp_path) == ["before, a longer line", "after"]


def test_the_last_lines_of_one_start_are_found(tmp_path: Path) -> None:
    log = collector(tmp_path)
    first, second = raw(log, 1), raw(log, 2)
    os.write(first, b"".join(b"one %d\n" % at for at in range(30)))
    os.write(second, b"two\n")
    log.collect()
    assert log.tail(1, 3) == ("one 27", "one 28", "one 29")
    assert log.tail(2, 3)[-1] == "two"


def test_a_line_that_is_nested_deeper_than_json_is_written_is_copied_as_text(
    tmp_path: Path,
) -> None:
    log = collector(tmp_path)
    deep = b'{"a":' * 300 + b"1" + b"}" * 300
    os.write(raw(log), deep + b"\nnext\n")
    log.collect()
    assert events(tmp_path) == [deep.decode(), "next"]
