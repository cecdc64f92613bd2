"""Lines are JSON, whole, and never harm the application."""

import asyncio
import json
import logging
import os
from collections.abc import Iterator

import orjson
import pytest
import structlog

from millions.sdk import log as module
from millions.sdk import requests
from millions.sdk.log import Lines, Standard


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """What the logger writes can be read from here."""
    reading, writing = os.pipe()
    monkeypatch.setattr(module.lines, "descriptor", writing)
    yield reading
    os.close(reading)
    os.close(writing)


def written(reading: int) -> list[dict[str, object]]:
    module.lines.flush()
    return [orjson.loads(each) for each in os.read(reading, 65536).splitlines()]


def test_a_line_has_time_level_event_and_what_was_given(pipe: int) -> None:
    module.log.warning("disk filling", free_mib=7, where={"a": {1, 2} == set()})
    (line,) = written(pipe)
    assert list(line)[:3] == ["time", "level", "event"]
    assert line["level"] == "warning"
    assert line["free_mib"] == 7
    assert str(line["time"]).endswith("Z")


def test_a_line_of_a_request_has_its_id(pipe: int) -> None:
    token = requests.enter(requests.Request("request-1", {}, 0.0))
    module.log.info("within")
    requests.leave(token)
    module.log.info("without")
    within, without = written(pipe)
    assert within["request_id"] == "request-1"
    assert "request_id" not in without


def test_bound_context_is_in_each_line(pipe: int) -> None:
    with structlog.contextvars.bound_contextvars(user="ann"):
        module.log.bind(photo=7).info("stored")
    (line,) = written(pipe)
    assert (line["user"], line["photo"]) == ("ann", 7)


def test_an_exception_is_one_line_with_its_traceback(pipe: int) -> None:
    try:
        raise ValueError("broken\nin two")
    except ValueError:
        module.log.exception("failed")
    (line,) = written(pipe)
    assert line["level"] == "error"
    assert "ValueError: broken\nin two" in str(line["exception"])


def test_what_json_cannot_hold_is_written_as_text(pipe: int) -> None:
    module.log.info("odd", value=object(), key={1: complex(1, 2)})
    assert "object object" in str(written(pipe)[0]["value"])


def test_a_value_that_is_no_valid_text_harms_nobody(pipe: int) -> None:
    module.log.info("odd", name="half \ud800 a pair", count=2**70)
    module.lines.flush()
    line = os.read(pipe, 65536)
    assert json.loads(line)["count"] == 2**70
    assert json.loads(line)["name"].startswith("half ")


def test_a_value_cannot_begin_another_line(pipe: int) -> None:
    module.log.info('x"}\n{"level": "error"', user="a\nb")
    assert len(written(pipe)) == 1


def test_what_libraries_say_becomes_lines_too(pipe: int) -> None:
    logger = logging.Logger("library")  # noqa: LOG001  # one that no test shares
    logger.addHandler(Standard())
    logger.warning("%d retries", 3)
    (line,) = written(pipe)
    assert (line["event"], line["logger"], line["level"]) == ("3 retries", "library", "warning")


def test_an_exception_is_not_written_twice(pipe: int) -> None:
    logger = logging.Logger("server")  # noqa: LOG001  # one that no test shares
    logger.addHandler(Standard())
    error = RuntimeError("seen")
    setattr(error, module.MARK, True)
    logger.error("again", exc_info=error)
    logger.error("and this")
    assert [each["event"] for each in written(pipe)] == ["and this"]


async def test_lines_of_one_turn_are_written_together_and_in_order() -> None:
    reading, writing = os.pipe()
    lines = Lines(writing)
    for number in range(5):
        lines.write(str(number).encode())
    os.set_blocking(reading, False)
    with pytest.raises(BlockingIOError):
        os.read(reading, 100)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert os.read(reading, 100) == b"0\n1\n2\n3\n4\n"
    os.close(reading)
    os.close(writing)


def test_a_full_disk_loses_lines_and_nothing_else() -> None:
    descriptor = os.open("/dev/full", os.O_WRONLY)
    lines = Lines(descriptor)
    lines.write(b"one")
    lines.write(b"two")
    os.close(descriptor)
    lines.write(b"three")
    assert lines.lost == 3
