"""Reading logs: merged by time, filtered, and followed across rotations without a gap."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
import pytest

from millions.runtime import logs
from millions.runtime import state as states
from millions.runtime.collect import Collector

if TYPE_CHECKING:
    from collections.abc import Iterator

    from millions.runtime.state import StateFolder

KIB = 1024


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch) -> Iterator[StateFolder]:
    root = Path(tempfile.mkdtemp(prefix="millions-test-"))
    root.chmod(0o755)
    monkeypatch.setenv("MILLIONS_HOME", str(root))
    yield states.create("app", root / "millions.toml")
    shutil.rmtree(root)


class Writer:
    """A unit that writes, and the supervisor's part of its log."""

    def __init__(self, state: StateFolder, unit: str, *, limit_bytes: int = 4096 * KIB) -> None:
        folder = state.prepare_unit(unit, holds_data=False) / "log"
        self.log = Collector(folder, unit, limit_bytes=limit_bytes)
        self.output = self.log.open_raw(1, "starts", revision="", release="")

    def say(self, *lines: str | dict[str, object]) -> None:
        for line in lines:
            text = line if isinstance(line, str) else orjson.dumps(line).decode()
            os.write(self.output, f"{text}\n".encode())
        while self.log.collect():
            pass


def at(second: int, event: str, level: str = "info") -> dict[str, object]:
    return {"time": f"2126-01-01T00:00:{second:02d}Z", "level": level, "event": event}


def events(found: Iterator[logs.Record]) -> list[str]:
    return [each.event for each in found if each.event != "starts"]


def test_units_are_merged_by_time(state: StateFolder) -> None:
    Writer(state, "a").say(at(1, "one"), at(4, "four"))
    Writer(state, "b").say(at(2, "two"), at(3, "three"))
    assert events(logs.records(state)) == ["one", "two", "three", "four"]
    assert events(logs.records(state, "b")) == ["two", "three"]


def test_they_are_found_by_level_time_and_words(state: StateFolder) -> None:
    Writer(state, "a").say(
        at(1, "early", "error"),
        at(2, "hushed", "debug"),
        at(3, "bad", "warn"),
        at(4, "worse", "fatal"),
    )
    assert events(logs.records(state, level="warning")) == ["early", "bad", "worse"]
    since_s = 4922899202.5  # 2126-01-01T00:00:02.5Z
    assert events(logs.records(state, since=since_s)) == ["bad", "worse"]
    assert events(logs.records(state, grep="wor|ear")) == ["early", "worse"]
    with pytest.raises(re.error):
        list(logs.records(state, grep="("))


def test_fields_of_the_unit_are_kept(state: StateFolder) -> None:
    Writer(state, "a").say({**at(1, "paid"), "amount": 3, "request_id": "x"})
    (found,) = [each for each in logs.records(state) if each.event == "paid"]
    assert (found.unit, found.level) == ("a", "info")
    assert dict(found.fields) == {"amount": 3, "request_id": "x"}
    assert orjson.loads(found.line)["amount"] == 3


def test_the_supervisor_has_a_log_too(state: StateFolder) -> None:
    state.supervisor_log.write_text('{"time": "2026-01-01T00:00:01Z", "event": "began"}\nplain\n')
    assert events(logs.records(state, "supervisor")) == ["began", "plain"]


def test_a_stack_that_never_ran_has_no_records(state: StateFolder) -> None:
    assert list(logs.records(state)) == []
    assert list(logs.records(state, "nobody")) == []


def test_followed_records_come_once_each_across_rotations(state: StateFolder) -> None:
    writer = Writer(state, "a", limit_bytes=16 * KIB)
    writer.say("0")
    followed = (each for each in logs.records(state, "a", follow=True) if each.event.isdigit())
    assert next(followed).event == "0"
    found: list[str] = []

    def read() -> None:
        found.extend(next(followed).event for _ in range(40))

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    for number in range(1, 41):
        writer.say(str(number), "x" * 150)
    reader.join(timeout=20)
    assert found == [str(number) for number in range(1, 41)]


def test_a_unit_that_comes_later_is_followed_too(state: StateFolder) -> None:
    Writer(state, "a").say("first")
    followed = (e for e in logs.records(state, follow=True) if e.event in {"first", "second"})
    assert next(followed).event == "first"
    Writer(state, "b").say("second")
    assert next(followed).unit == "b"
